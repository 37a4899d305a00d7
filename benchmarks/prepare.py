"""Time `prepare` by parts at growing synthetic sizes and on real data, and check its bytes.

    python benchmarks/prepare.py --scale 1 4
    python benchmarks/prepare.py --real --out data/results/prepare.json

1x is 500 resumes and 500 jobs, twice the sample corpus. Every run has a process of its own.
Synthetic texts are those of the sample with half of their words exchanged, so that no two are
near-duplicates. 1x and the real data (--real, from RESUME_CONTRASTIVE_DATA) are
prepared twice, and the bytes compared. Parts are given in seconds of CPU, which other programs on
the machine change little. Run again with --out, it replaces the rows that it measured.
"""

import argparse
import csv
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"
UNIT = 500  # documents a side at 1x
MODIFIERS = """senior field night online mobile regional group contract export project plant ward
retail training payroll budget customer support security quality systems data process safety claims
loan studio digital print brand menu pastry banquet pediatric surgical oncology trauma""".split()
PARTS = (  # part, module, function; one that is absent is left out
    ("reading", "pipeline", "read_side"), ("reading", "pipeline", "read_test_only"),
    ("reading", "pipeline", "read_profiles"), ("registry", "registry", "drop_leaks"),
    ("near-duplicates", "splits", "group_documents"), ("splits", "dataset", "make_splits"),
    ("pairs", "dataset", "make_pairs"), ("coverage", "requirements", "coverage_matrix"),
    ("title encoder", "windows", "Embedder.embed"), ("own skills", "augmentation",
                                                     "own_skills_pairs"),
    ("roles", "dataset", "match_roles"), ("fit and evidence", "dataset", "with_evidence"),
    ("triples", "dataset", "triples"), ("own requirements", "dataset", "own_requirements"),
    ("EDA", "dataset", "augmented"), ("composed jobs", "dataset", "synthetic_jobs"),
    ("writing", "pipeline", "write_dataset"),
)


# ---------------------------------------------------------------- a corpus of any size


def mixed(text: str, words: list[str], rng: Random) -> str:
    """The text with half of the words of each longer line exchanged; headings stay."""
    lines = []
    for line in text.split("\n"):
        flat = line.split()
        if len(flat) > 3:
            flat = [rng.choice(words) if rng.random() < 0.5 else w for w in flat]
        lines.append(" ".join(flat))
    return "\n".join(lines)


def write_corpus(folder: Path, scale: int, seed: int) -> tuple[Path, Path]:
    """Two tables of `scale` x 500 documents."""
    paths = []
    for name, text, label in (("resumes", "Resume_str", ""), ("jobs", "job_description",
                                                              "position_title")):
        with (SAMPLE / f"{name}.csv").open(newline="", encoding="utf-8") as f:
            rows = list(csv.DictReader(f))
        words = [w for r in rows for w in r[text].split() if w.isalpha()]
        path = folder / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, fieldnames=list(rows[0]))
            writer.writeheader()
            for n in range(scale * UNIT):
                rng = Random(f"{seed}:{name}:{n}")
                row, extra = dict(rng.choice(rows)), rng.choice(MODIFIERS).title()
                if label:
                    row[label], row["job_id"] = f"{extra} {row[label]}", f"job-{n:06d}"
                    row[text] = mixed(row[text], words, rng)
                else:  # a resume's first line is its title
                    head, _, body = row[text].partition("\n")
                    row["ID"] = str(20_000_000 + n)
                    row[text] = f"{extra} {head}\n{mixed(body, words, rng)}"
                writer.writerow(row)
        paths.append(path)
    return paths[0], paths[1]


# ---------------------------------------------------------------- one run, in its own process


def cpu() -> float:
    """Seconds of CPU of this process and of its finished children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Clock:
    """Seconds of CPU spent in each part, without the parts inside it."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.inside = [0.0]

    def wrap(self, owner: object, name: str, part: str) -> None:
        """Replace a function by one that is timed."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def timed(*args, **kwargs):
            start = cpu()
            self.inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                whole, inner = cpu() - start, self.inside.pop()
                self.inside[-1] += whole
                self.seconds[part] = self.seconds.get(part, 0) + whole - inner

        setattr(owner, name, timed)


def measure(folder: str, resumes: str, jobs: str, profiles: str, test_only: list[str] | None,
            ) -> dict:
    """`prepare` once; returns counts, seconds by part, MiB and the hashes of what was written."""
    import importlib

    from resume_contrastive.pipeline import Pipeline
    from resume_contrastive.store import hash_file

    clock, start, used = Clock(), time.perf_counter(), cpu()
    for part, module, name in PARTS:
        with suppress(ImportError, AttributeError):
            owner = importlib.import_module(f"resume_contrastive.{module}")
            *path, last = name.split(".")
            clock.wrap(functools.reduce(getattr, path, owner), last, part)
    pipeline = Pipeline(Path(folder) / "run")
    record = pipeline.prepare(resumes, jobs, profiles=profiles, test_only=test_only)
    seconds, used = time.perf_counter() - start, cpu() - used
    files = sorted(p for p in (Path(folder) / "run" / "data").iterdir() if p.is_file())
    titles = [len({d.title for d in side.values()}) for side in
              (pipeline.data.resumes, pipeline.data.jobs)]
    parts = {k: round(v, 2) for k, v in sorted(clock.seconds.items())}
    parts["the rest"] = round(used - sum(clock.seconds.values()), 2)
    own, others = (resource.getrusage(who).ru_maxrss / 1024 for who in (
        resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    manifest = json.loads((Path(folder) / "run" / "data" / "manifest.json").read_text())
    return {"seconds": round(seconds, 2), "cpu_seconds": round(used, 2), "parts": parts,
            "peak_mb": round(own),
            "largest_child_mb": round(others), "resumes": record["resumes"],
            "jobs": record["jobs"], "titles": titles, "pairs": manifest["counts"]["pairs"],
            "candidates": {k: v["candidates"] for k, v in manifest["pairing"].items()},
            "split_report": manifest["split_report"],
            "test_only": {"registered": manifest["test_only"]["registered"],
                          "dropped": len(manifest["test_only"]["dropped"]),
                          "derived_dropped": manifest["test_only"]["derived_dropped"]},
            "sha256": {p.name: hash_file(p) for p in files}}


def child(arguments: list, threads: int, hash_seed: int) -> dict:
    """`measure` in a fresh process."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    env = os.environ | dict.fromkeys(names, str(threads)) | {
        "PYTHONHASHSEED": str(hash_seed), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--measure", json.dumps(arguments)]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"prepare failed: {run.stderr.strip().splitlines()[-1]}")
    return json.loads(run.stdout.splitlines()[-1])


def twice(arguments: list, threads: int) -> dict:
    """Two runs in processes with other hash seeds; the first one's row, and whether bytes agree."""
    rows = []
    for hash_seed in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(child([folder, *arguments], threads, hash_seed))
    hashes = [r.pop("sha256") for r in rows]
    differ = sorted(n for n in hashes[0] if hashes[0][n] != hashes[1].get(n))
    runs = [[r["seconds"], r["cpu_seconds"]] for r in rows]
    return rows[0] | {"runs": runs, "sha256": hashes[0],
                      "files_that_differ": differ}


# ---------------------------------------------------------------- all runs


def run(args: argparse.Namespace) -> dict:
    """All sizes; prints as it goes and returns the record."""
    record = {"benchmark": "prepare", "unit": UNIT, "synthetic": {}}
    for scale in args.scale:
        with tempfile.TemporaryDirectory() as folder:
            resumes, jobs = write_corpus(Path(folder), scale, args.seed)
            inputs = [str(resumes), str(jobs), str(SAMPLE / "onet"),
                      [str(SAMPLE / "documents"), str(SAMPLE / "rankings" / "CV")]]
            if scale == 1:
                row = twice(inputs, args.threads)
            else:
                row = child([folder, *inputs], args.threads, 1)
        row.pop("split_report")
        record["synthetic"][str(scale)] = row
        say(f"{scale}x", row)
    if args.real:
        root = Path(os.environ["RESUME_CONTRASTIVE_DATA"])
        inputs = [str(root / "kaggle" / "Resume.csv"), str(root / "kaggle" / "training_data.csv"),
                  str(root / "onet"), None]
        record["real"] = twice(inputs, args.threads)
        say("real", record["real"])
    return record


def say(name: str, row: dict) -> None:
    """One line for each run."""
    parts = ", ".join(f"{k} {v:.1f}" for k, v in sorted(row["parts"].items(), key=lambda x: -x[1]))
    same = f"; files that differ: {row['files_that_differ']}" if "runs" in row else ""
    print(f"{name:>5}  {row['resumes']:,} + {row['jobs']:,}  {row['seconds']:.1f} s, "
          f"{row['cpu_seconds']:.1f} s of CPU, "
          f"{row['peak_mb']:,} MiB  ({parts}){same}", flush=True)


def main() -> None:
    """Read the arguments, run, and write the record when asked to."""
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*json.loads(sys.argv[2]))))
        return
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--scale", type=int, nargs="*", default=[1, 4, 16], help="multiples of 1x")
    p.add_argument("--real", action="store_true", help="also the data of RESUME_CONTRASTIVE_DATA")
    p.add_argument("--seed", type=int, default=0, help="of the synthetic texts")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="for BLAS and torch")
    p.add_argument("--out", type=Path, help="JSON record to write; nothing is written without it")
    args = p.parse_args()
    if any(s < 1 for s in args.scale) or args.threads < 1:
        p.error("--scale and --threads must be at least 1")
    if args.real and not os.environ.get("RESUME_CONTRASTIVE_DATA"):
        p.error("--real needs RESUME_CONTRASTIVE_DATA")
    record = run(args)
    if args.out:
        from resume_contrastive.store import machine, read_json, versions, write_json

        old = read_json(args.out) if args.out.exists() else {}
        record["synthetic"] = old.get("synthetic", {}) | record["synthetic"]
        record = old | record | {
            "machine": machine(), "versions": versions(), "threads": args.threads,
            "seed": args.seed}
        write_json(args.out, record)
        print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
