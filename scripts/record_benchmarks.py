"""Run every benchmark on the real data with the systems of a run, and write the record.

`python scripts/record_benchmarks.py runs/real` writes `data/results/benchmarks.json`:
vacancy-resume, real PDFs, categories of held-out resumes, triples with a length control, slices,
words that say nothing, and what shuffled labels and a constant scorer get. Each stage is kept in a
folder beside the run and done again only when code, data, model or settings differ. Numbers only:
no text and no name of a file goes into the record. Test-only data is scored here and chooses
nothing.
"""

import argparse
import os
import time
from collections import Counter
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from resume_contrastive.benchmarks import read_rankings, triples_benchmark
from resume_contrastive.evaluation import evaluate, rankings_report
from resume_contrastive.pdfs import (
    category_report,
    read_categories,
    read_reference_jobs,
    score_report,
)
from resume_contrastive.pipeline import Pipeline
from resume_contrastive.scorer import Calibration
from resume_contrastive.slices import length_bias, slice_labels, slice_table, triples_report
from resume_contrastive.store import (
    code_hash,
    hash_file,
    hash_value,
    machine,
    plain,
    read_json,
    versions,
    write_json,
)
from resume_contrastive.validation import split_benchmarks, split_triples

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ("random", "prior", "TF-IDF", "BM25", "zero-shot", "five signals", "learned")
SETTINGS = {"seed": 0, "n_boot": 1000, "n_boot_auc": 300, "padded resumes": 60, "padded jobs": 20,
            "shuffles": 20, "level": 0.95}


def records(table) -> list[dict]:
    """A table as plain rows."""
    return plain(table.to_dict("records"))


def rounded(value):
    """The same with four decimals: more say nothing at these numbers of queries."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value


class Recorder:
    """A run, its systems, and the data that judges them."""

    def __init__(self, run: Path, data: Path):
        self.pipeline, self.folder = Pipeline(run), data
        self.boot = {"n_boot": SETTINGS["n_boot"], "seed": SETTINGS["seed"]}
        self.few = {"n_boot": SETTINGS["n_boot_auc"], "seed": SETTINGS["seed"]}

    @cached_property
    def systems(self) -> dict:
        """The run's systems; the encoders' windows come from its cache."""
        return {k: v for k, v in self.pipeline.systems().items() if k in SHOWN}

    @cached_property
    def scores_100(self) -> dict:
        """The same systems on 0 to 100: the learned one calibrated on validation."""
        compared = read_json(self.pipeline.folder / "stages" / "compare.json")
        calibrate = np.vectorize(Calibration(**compared["calibration"]), otypes=[float])

        def scaled(name: str, f):
            if name == "learned":
                return lambda r, j: calibrate(f(r, j))
            times = 1 if name == "five signals" else 100
            return lambda r, j: np.clip(times * np.asarray(f(r, j)), 0, 100)

        return {name: scaled(name, f) for name, f in self.systems.items()}

    @cached_property
    def reference(self) -> list:
        """The project's adverts, one or two for each category."""
        return read_reference_jobs(ROOT / "data" / "reference_jobs")

    @cached_property
    def role(self):
        """The role pairs of the test split, and the scores of all systems on them."""
        return split_benchmarks(self.pipeline.data, "test")[0]

    def vacancy(self) -> dict:
        """Rankings of five vacancies by two annotators."""
        rankings = read_rankings(self.folder / "vacancy-resume")
        rows = records(rankings_report(self.systems, rankings, **self.boot))
        return {"rows": rows, "problems": len(rankings.problems),
                "rankings": {a: len(r) for a, r in rankings.rows.items()}}

    def pdfs(self) -> dict:
        """Real files against the reference adverts."""
        resumes, bad = read_categories(self.folder / "resume", workers=0)
        return {"files": len(resumes), "unreadable": len(bad), "jobs": len(self.reference),
                "categories": records(category_report(self.systems, resumes, self.reference,
                                                      **self.few)),
                "scores": records(score_report(self.scores_100, resumes, self.reference,
                                               **self.boot))}

    def categories(self) -> dict:
        """Held-out resumes of the table against the adverts, and against held-out real jobs."""
        data = self.pipeline.data
        resumes = data.side("resume", "test")
        known = {r.id: r.category for r in resumes}
        votes: dict[str, Counter] = {}
        pairs = data.pairs[(data.pairs.kind == "role") & (data.pairs.split == "test")]
        for r, j in zip(pairs.resume_id, pairs.job_id, strict=True):
            if r in known:
                votes.setdefault(j, Counter())[known[r]] += 1
        jobs = [replace(data.jobs[j], category=next(iter(v))) for j, v in votes.items()
                if len(v) == 1 and not data.jobs[j].category]
        return {"reference": records(category_report(self.systems, resumes, self.reference,
                                                     **self.few)),
                "held-out jobs": records(category_report(self.systems, resumes, jobs, **self.few)),
                "jobs": len(jobs), "resumes": len(resumes)}

    def triples(self) -> dict:
        """Matched over unmatched, beside the longer one."""
        public = triples_benchmark(self.folder / "rjdb" / "triples.jsonl")
        out = {"rjdb": records(triples_report(self.systems, public, **self.boot))}
        jobs, better, worse = split_triples(self.pipeline.data, "validation")
        if jobs:
            n = len(jobs)
            gains = np.full((2 * n, n), np.nan)
            gains[np.arange(n), np.arange(n)], gains[np.arange(n) + n, np.arange(n)] = 1, 0
            made = replace(public, name="counterfactual", resumes=[*better, *worse], jobs=jobs,
                           gains=gains, job_clusters=[j.id for j in jobs], resume_clusters=())
            out["counterfactual, validation"] = records(
                triples_report(self.systems, made, **self.boot))
        return out

    def slices(self) -> dict:
        """Held-out role pairs by the query's category, length, windows and sections."""
        report = evaluate(self.systems, [self.role], **self.boot)
        rows, embedder = [], self.pipeline.embedder

        def windows(d) -> int:
            return len(embedder.windows(d))

        for direction, documents in zip(self.role.directions, (self.role.resumes, self.role.jobs),
                                        strict=True):
            labels = slice_labels(self.pipeline.data.for_encoder(documents), windows)
            for system in self.systems:
                values = report.values(system, self.role.name, direction, "nDCG@10")
                table = slice_table(values, labels, report.clusters[self.role.name, direction],
                                    **self.boot)
                rows += records(table.assign(system=system, direction=direction, metric="nDCG@10"))
        return {"rows": rows, "overall": report.to_records()}

    def length(self) -> dict:
        """Words that say nothing, added to held-out resumes."""
        rng = np.random.default_rng(SETTINGS["seed"])
        resumes = self.pipeline.data.side("resume", "test")
        jobs = [j for j in self.pipeline.data.side("job", "test") if not j.category]
        some, asked = (
            [side[i] for i in sorted(rng.choice(len(side), min(n, len(side)), replace=False))]
            for side, n in ((resumes, SETTINGS["padded resumes"]), (jobs, SETTINGS["padded jobs"])))
        return {"rows": records(length_bias(self.systems, some, asked, **self.boot))}

    def shuffled(self) -> dict:
        """How often a system seems better than chance when each job's labels are dealt anew."""
        rng, seen = np.random.default_rng(SETTINGS["seed"]), Counter()
        scores = {k: f(list(self.role.resumes), list(self.role.jobs))
                  for k, f in self.systems.items() if k in ("learned", "TF-IDF", "five signals")}
        scores["constant"] = np.zeros(self.role.gains.shape)
        benches = []
        for k in range(SETTINGS["shuffles"]):
            gains = rng.permuted(self.role.gains, axis=0)
            benches.append(replace(self.role, gains=gains, name=f"shuffled {k}",
                                   directions=("job->resume",), resume_clusters=()))
        report = evaluate({k: lambda r, j, v=v: v for k, v in scores.items()}, benches, n_boot=300)
        rows = [r for r in report.rows if r["metric"] == "AUC"]
        for r in rows:
            seen[r["system"]] += r["low"] > r["chance"] + 1e-9
        means = {s: float(np.mean([r["value"] for r in rows if r["system"] == s])) for s in scores}
        return {"runs": len(benches), "seem better than chance": dict(seen), "mean AUC": means}


STAGES = ("vacancy", "pdfs", "categories", "triples", "slices", "length", "shuffled")
NEEDS = {"vacancy": "vacancy-resume", "pdfs": "resume", "triples": "rjdb"}


def main() -> None:
    """Do the stages that are missing, then write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder with a finished export")
    parser.add_argument("--data", type=Path, default=os.environ.get("RESUME_CONTRASTIVE_DATA"))
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "results" / "benchmarks.json")
    parser.add_argument("--only", nargs="*", choices=STAGES, default=STAGES)
    args = parser.parse_args()
    if not args.data or not Path(args.data).is_dir():
        parser.error("name the folder of real data: --data, or RESUME_CONTRASTIVE_DATA")
    recorder = Recorder(args.run, Path(args.data))
    kept = args.run.parent / f"{args.run.name}-benchmarks"
    of_run = [recorder.pipeline.data.manifest["data_hash"],
              hash_file(args.run / "model" / "model.safetensors"), code_hash(),
              hash_file(ROOT / "data" / "reference_jobs"), hash_file(__file__), SETTINGS]
    done = {}
    for name in STAGES:
        files = hash_file(Path(args.data) / NEEDS[name]) if name in NEEDS else ""
        key, path = hash_value([name, files, of_run]), kept / f"{name}.json"
        found = read_json(path) if path.exists() else {}
        if found.get("key") != key:
            if name not in args.only:
                continue
            start = time.perf_counter()
            result = getattr(recorder, name)()
            found = {"key": key, "seconds": round(time.perf_counter() - start, 1), **result}
            write_json(path, found)
        done[name] = {k: v for k, v in found.items() if k != "key"}
        print(f"{name:12s} {found['seconds']:7.1f} s", flush=True)
    write_json(args.out, {
        "stages": rounded(plain(done)), "settings": SETTINGS, "systems": list(SHOWN),
        "machine": machine(),
        "versions": versions(), "code": code_hash(),
        "data_hash": recorder.pipeline.data.manifest["data_hash"],
        "config": read_json(args.run / "config.json"),
        "inputs": {v: hash_file(Path(args.data) / v) for v in NEEDS.values()}})
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
