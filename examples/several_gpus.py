"""Train the first round of a prepared run on several GPUs, in the place of the verb `train`.

    resume-contrastive prepare --resumes resumes.csv --jobs jobs.csv --out runs/mine
    accelerate launch --num_processes 4 examples/several_gpus.py runs/mine --preset full --bf16
    resume-contrastive mine runs/mine --set rounds=0
    resume-contrastive evaluate runs/mine
    resume-contrastive compare runs/mine
    resume-contrastive export runs/mine --to models/contrastive

Every process reads the same pairs, learns from its share of each batch, and uses all negatives.
A stop costs at most one epoch: the same command continues from the newest checkpoint.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

PRESETS = ("head", "last-n", "full")


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; `resume-contrastive --help` is for the rest of a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder, prepared")
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--bf16", action="store_true", help="half precision, on GPUs that have it")
    parser.add_argument("--batch-size", type=int, help="pairs of a step, over all processes")
    parser.add_argument("--micro-tokens", type=int, help="most tokens that a GPU reads at once")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--cache", type=Path, help="folder of window vectors, as for the verbs")
    return parser.parse_args(given)


def settings(args: argparse.Namespace) -> Any:
    """The `TrainConfig` of the arguments."""
    from resume_contrastive.training import preset

    names = ("batch_size", "micro_tokens", "epochs")
    changes = {k: getattr(args, k) for k in names if getattr(args, k) is not None}
    return preset(args.preset, precision="bf16" if args.bf16 else "fp32", **changes)


def build(run: Any) -> tuple[Any, list, Callable]:
    """The model, its sources of pairs, and what turns documents into its input."""
    from resume_contrastive.rounds import parts_of, role_source, wrong_category

    role, *role_ids, _ = role_source(run)
    role.hard_resumes = wrong_category(run.data, role, *role_ids)
    return parts_of(run, role, run.config.seed)


def record(run: Any, config: Any, model: Any, result: Any) -> None:
    """Write the round's model and the record of the stage, so that the verbs go on from here."""
    from resume_contrastive.finetuning import save_trunk
    from resume_contrastive.store import atomic_path

    c, tuned = run.config, config.trainable != "head"

    def work() -> dict[str, Any]:
        with atomic_path(run.run / "rounds/0/model") as tmp:
            (model.heads if tuned else model).save(tmp, trunk="tuned" if tuned else "frozen")
            if tuned:
                save_trunk(model, tmp / "backbone")
        return {"round": 0, "seed": c.seed, "best_epoch": result.best_epoch,
                "select": result.best, "epochs": len(result.history) - 1,
                "start": result.history[0], "best": result.history[result.best_epoch],
                "continued": result.continued}  # fmt: skip

    key = [run.key_of("encode"), asdict(c.train), asdict(c.encoder), c.role_weight,
           c.triple_weight, c.seed, c.seeds]  # fmt: skip
    run.stage("train", key, work, outputs=("rounds/0/model/config.json",))


def main() -> None:
    """Train, and let the first process write."""
    from accelerate import PartialState

    from resume_contrastive.pipeline import Pipeline
    from resume_contrastive.registry import refuse_test_texts
    from resume_contrastive.training import train
    from resume_contrastive.validation import make_validation

    args = arguments()
    config = settings(args)
    state = PartialState(cpu=not torch.cuda.is_available())
    run = Pipeline(args.run, cache=args.cache)
    run.config = replace(run.config, train=replace(config, seed=run.config.seed))
    with state.main_process_first():  # it reads the windows, the others find them in the cache
        if state.is_main_process:
            run.encode()
        refuse_test_texts(run.folder / "data", [
            d for kind in ("resume", "job") for d in run.data.side(kind, "train", derived=True)])
        model, sources, fields = build(run)
        validate = make_validation(run.data, fields)
    result = train(model, sources, run.config.train, run.folder / "rounds/0", validate=validate,
                   select="select", key=[run.key_of("encode"), "several processes"])
    if state.is_main_process:
        record(run, config, model, result)
        print(f"best epoch {result.best_epoch}, validation {result.best:.3f}, "
              f"{result.seconds:.0f} s in {state.num_processes} processes")
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    main()
