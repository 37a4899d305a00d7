"""The whole study, stage by stage: `make experiments`.

Each stage is a command that writes small records to `data/results/`, from which the notebooks and
the front page are made. A stage that is done is not done again: its stamp in `runs/experiments/`
holds the hashes of the package's code, of its script and of the real data. A stage that is stopped
continues where its command can. `--list` shows the stages, `--only real space` does these,
`--keep` accepts what another version of the code has done.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from resume_contrastive.store import code_hash, hash_file, hash_value, read_json, write_json

DATA = os.environ.get("RESUME_CONTRASTIVE_DATA", "")
RUN, DEMO = "runs/real", "runs/demo"
PYTHON, CLI = sys.executable, str(Path(sys.executable).with_name("resume-contrastive"))


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One command and the records it writes."""

    name: str
    what: str  # in words
    command: tuple[str, ...]
    records: tuple[str, ...]  # below data/results
    minutes: int  # about, on two cores
    needs_data: bool = True


def script(name: str, *args: str) -> tuple[str, ...]:
    """A script or benchmark of this repository."""
    return (PYTHON, name, *args)


def record(name: str, what: str, minutes: int, *args: str) -> Stage:
    """A stage that is `scripts/record_NAME.py`."""
    written = {"reading": "sections"}.get(name, name)
    return Stage(name=name, what=what, minutes=minutes, records=(f"{written}.json",),
                 command=script(f"scripts/record_{name}.py", *args))


STAGES = (
    Stage(name="demo", what="the pipeline on the sample corpus", minutes=3, needs_data=False,
          command=(CLI, "demo", "--out", DEMO), records=()),
    Stage(name="real", what="the pipeline on the real data, three seeds", minutes=40, records=(),
          command=(CLI, "run", "--resumes", f"{DATA}/kaggle/Resume.csv",
                   "--jobs", f"{DATA}/kaggle/training_data.csv", "--profiles", f"{DATA}/onet",
                   "--out", RUN, "--set", "seeds=3")),
    Stage(name="runs", what="the records of both runs", minutes=1, records=("demo.json",
                                                                            "real.json"),
          command=("make", "record")),
    record("corpus", "what the two files hold", 2),
    record("reading", "sections and what was read", 4),
    record("scrubber", "contact details found", 2),
    record("pairs", "pairs by category, and their precision", 4),
    record("augmentation", "what EDA does to sections, skills and order", 5),
    record("splits", "leaks planted and found", 6),
    record("ablation", "one difference at a time, on validation", 90, RUN),
    record("crossvalidation", "five cuts, so that validation decides more", 60, RUN),
    record("anchor", "heads between zero-shot and trained", 25, RUN),
    record("interaction", "requirements against sentences, on the five cuts", 30, RUN),
    record("validation", "the learned model beside the controls", 2, RUN),
    record("space", "the space before and after training", 1, RUN),
    record("finetuning", "the whole trunk on triples, three folds", 45),
    record("skillspan", "precision and recall of the skill extractor", 3),
    record("benchmarks", "every benchmark with its controls", 8, RUN),
    record("comparison", "the A/B and its decision", 4, RUN),
    record("calibration", "what a score means", 3, RUN),
    record("names", "how far names move the scores", 15, RUN),
    record("suspicions", "false alarms of the checks for stuffed text", 8),
    record("small", "the model that comes with the package", 10, RUN),
)


def stamp_of(stage: Stage, data: str) -> dict[str, str]:
    """What a finished stage was made with."""
    own = next((c for c in stage.command if c.endswith(".py")), "")
    return {"code": code_hash(), "script": hash_file(own) if own else "",
            "command": hash_value(list(stage.command[1:])), "data": data}


def data_hash() -> str:
    """The names and sizes of the real files: reading them all would take longer than it helps."""
    if not DATA:
        return ""
    root = Path(DATA)
    return hash_value([[str(p.relative_to(root)), p.stat().st_size]
                       for p in sorted(root.rglob("*")) if p.is_file()])


def is_done(stage: Stage, stamp: dict[str, str], folder: Path, keep: bool) -> bool:
    """Whether its stamp and its records are there."""
    path = folder / f"{stage.name}.json"
    if not path.exists() or any(not Path("data/results", r).exists() for r in stage.records):
        return False
    found = read_json(path)["stamp"]
    names = ("command", "data") if keep else tuple(stamp)
    return all(found.get(n) == stamp[n] for n in names)


def main() -> int:
    """Do what is not done; the exit status is that of the first command that fails."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--list", action="store_true", help="only say what would be done")
    parser.add_argument("--only", nargs="*", default=[], choices=[s.name for s in STAGES])
    parser.add_argument("--keep", action="store_true",
                        help="accept stages that another version of the code has done")
    args = parser.parse_args()
    folder, data = Path("runs/experiments"), data_hash()
    chosen = [s for s in STAGES if not args.only or s.name in args.only]
    todo = [s for s in chosen if not is_done(s, stamp_of(s, data), folder, args.keep)]
    for s in chosen:
        print(f"  {'to do' if s in todo else 'done ':5}  {s.name:16} about {s.minutes:3} min  "
              f"{s.what}")
    print(f"{len(todo)} of {len(chosen)} stages, about {sum(s.minutes for s in todo)} minutes "
          "on two cores", flush=True)
    if args.list:
        return 0
    for n, s in enumerate(todo, 1):
        if s.needs_data and not DATA:
            print(f"== {n}/{len(todo)} {s.name}: set RESUME_CONTRASTIVE_DATA, see data/README.md")
            return 1
        print(f"== {n}/{len(todo)} {s.name}: {s.what}", flush=True)
        start = time.perf_counter()
        code = subprocess.run(s.command, check=False).returncode
        if code:
            print(f"{s.name} stopped with status {code}; the same command continues there.")
            return code
        write_json(folder / f"{s.name}.json", {"stamp": stamp_of(s, data),
                                               "seconds": round(time.perf_counter() - start, 1)})
    print("All records are current. `make readme` and the notebooks read them.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
