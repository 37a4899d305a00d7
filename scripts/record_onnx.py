"""Add ONNX graphs to the model of a run, and record what int8 costs on its validation split.

    python scripts/record_onnx.py runs/real --to models/contrastive --record onnx_loss.json

The pools are restricted, so that it takes minutes: every document that is in a validation pair, and
`--others` random ones of each side. The run is only read; its cache of window vectors gives torch's
vectors. The record holds numbers only.
"""

import argparse
import random
import sys
from pathlib import Path


def restricted(benchmark, others: int, seed: int):
    """A benchmark with every document that is relevant to another, and some that are not."""
    import numpy as np

    from resume_contrastive.benchmarks import Benchmark

    draw, kept = random.Random(seed), []
    for axis in (1, 0):
        good = np.nan_to_num(benchmark.gains).max(axis=axis) > benchmark.above
        rest = [i for i, used in enumerate(good) if not used]
        kept.append(sorted([*np.flatnonzero(good), *draw.sample(rest, min(others, len(rest)))]))
    rows, columns = kept
    return Benchmark(
        name=benchmark.name, aspect=benchmark.aspect, resumes=[benchmark.resumes[i] for i in rows],
        jobs=[benchmark.jobs[i] for i in columns], gains=benchmark.gains[np.ix_(rows, columns)],
        above=benchmark.above, directions=benchmark.directions,
        job_clusters=[benchmark.job_clusters[i] for i in columns],
        resume_clusters=[benchmark.resume_clusters[i] for i in rows])  # fmt: skip


def smaller(benchmark, most: int, seed: int):
    """A fit benchmark's first `most` random jobs, with the resumes that belong to them."""
    import numpy as np

    from resume_contrastive.benchmarks import Benchmark

    jobs = sorted(random.Random(seed).sample(range(len(benchmark.jobs)),
                                             min(most, len(benchmark.jobs))))
    gains = benchmark.gains[:, jobs]
    rows = np.flatnonzero(np.nan_to_num(gains).max(axis=1) > benchmark.above)
    return Benchmark(
        name=benchmark.name, aspect=benchmark.aspect, resumes=[benchmark.resumes[i] for i in rows],
        jobs=[benchmark.jobs[i] for i in jobs], gains=gains[rows], above=benchmark.above,
        directions=benchmark.directions, job_clusters=[benchmark.job_clusters[i] for i in jobs],
        resume_clusters=[benchmark.resume_clusters[i] for i in rows])  # fmt: skip


def main() -> int:
    """Command line."""
    from resume_contrastive.encoder import load_dual_encoder
    from resume_contrastive.export import export_model, write_card
    from resume_contrastive.onnx_export import add_onnx
    from resume_contrastive.pipeline import Pipeline
    from resume_contrastive.scorer import Calibration
    from resume_contrastive.store import code_hash, read_json, write_json
    from resume_contrastive.validation import split_benchmarks

    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("run", type=Path, help="run folder with a finished export and a frozen trunk")
    p.add_argument("--to", type=Path, required=True, help="model folder to write")
    p.add_argument("--record", type=Path, help="the JSON record to write")
    p.add_argument("--cache", type=Path, help="window vectors; default: beside the run")
    p.add_argument("--others", type=int, default=150, help="of each side, beside the pairs")
    p.add_argument("--fit", type=int, default=150, help="queries of the own-skills benchmark")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    run = Pipeline(args.run, cache=args.cache)
    results, old = read_json(args.run / "results.json"), read_json(args.run / "model/config.json")
    model = load_dual_encoder(args.run / "model")
    export_model(model, run.embedder, args.to, card=write_card(results), blend=old["blend"],
                 calibration=Calibration(**old["calibration"]), **old["about"])
    role, own = split_benchmarks(run.data, "validation")
    chosen = [restricted(role, args.others, args.seed), smaller(own, args.fit, args.seed)]
    sizes = {b.aspect: {"resumes": len(b.resumes), "jobs": len(b.jobs)} for b in chosen}
    print(sizes, flush=True)
    report = add_onnx(args.to, chosen, embedder=run.embedder, data_hash=results["data_hash"],
                      split="validation", pool=sizes, seed=args.seed)
    for row in report["rows"]:
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    print({k: report[k] for k in ("fp32", "int8")})
    if args.record:
        write_json(args.record, {**report, "code_hash": code_hash(),
                                 "config": results["config"]["encoder"]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
