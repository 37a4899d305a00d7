"""Judge a run's model on the validation split, beside the controls: what training is for.

`python scripts/record_validation.py runs/real` writes `data/results/validation.json`: nDCG@10 and
MAP of the role pairs in both directions, own skills within a category, the counterfactual triples
and those of `rjdb` (not trained on), each with its 95 % interval, and the paired difference of the
learned model from each control. Test data is not read.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from resume_contrastive.benchmarks import Benchmark, triples_benchmark
from resume_contrastive.metrics import (
    auc,
    average_precision,
    bootstrap_interval,
    ndcg_at_k,
    paired_difference,
    rank_queries,
)
from resume_contrastive.pipeline import Pipeline
from resume_contrastive.store import code_hash, machine, versions, write_json
from resume_contrastive.validation import split_benchmarks, split_triples


def triples_as_benchmark(jobs: list, better: list, worse: list, name: str) -> Benchmark:
    """Jobs with a better and a worse resume each; nothing else is judged."""
    n = len(jobs)
    gains = np.full((2 * n, n), np.nan)
    gains[np.arange(n), np.arange(n)] = 1
    gains[np.arange(n) + n, np.arange(n)] = 0
    return Benchmark(name=name, aspect="fit", resumes=better + worse, jobs=jobs, gains=gains)


def of_triples(scores: np.ndarray) -> np.ndarray:
    """1 where the better resume is above, .5 for a tie."""
    n = scores.shape[1]
    gap = scores[np.arange(n), np.arange(n)] - scores[np.arange(n) + n, np.arange(n)]
    return np.where(gap == 0, 0.5, gap > 0)


def by_query(scorer, role: Benchmark, own: Benchmark, triples: dict) -> dict[str, np.ndarray]:
    """Every figure's values for single queries."""
    s = np.asarray(scorer(list(role.resumes), list(role.jobs)))
    t = np.asarray(scorer(list(own.resumes), list(own.jobs)))
    out = {}
    for way, scores, gains in (("resume to job", s, role.gains),
                               ("job to resume", s.T, role.gains.T)):
        out[f"role, {way}, nDCG@10"] = ndcg_at_k(scores, gains)
        out[f"role, {way}, MAP"] = average_precision(rank_queries(scores, gains))
    out["own skills, nDCG@10"] = ndcg_at_k(t.T, own.gains.T)
    out["own skills, AUC"] = auc(t.T, own.gains.T)
    for name, b in triples.items():
        out[name] = of_triples(np.asarray(scorer(list(b.resumes), list(b.jobs))))
    return out


def main() -> None:
    """Score, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("data/results/validation.json"))
    args = parser.parse_args()
    run = Pipeline(args.run)
    role, own = split_benchmarks(run.data, "validation")
    triples = {}
    asked = split_triples(run.data, "validation")
    if asked[0]:
        triples["triples of this data set"] = triples_as_benchmark(*asked, "triples")
    path = Path(os.environ.get("RESUME_CONTRASTIVE_DATA", "."), "rjdb", "triples.jsonl")
    if path.exists():
        triples["triples of rjdb"] = triples_benchmark(path)
    clusters = {"resume to job": [r.id for r in role.resumes],
                "job to resume": [j.id for j in role.jobs], "own skills": list(own.job_clusters)}
    clusters |= {name: [j.id for j in b.jobs] for name, b in triples.items()}
    systems = {k: v for k, v in run.systems().items()
               if k in ("random", "TF-IDF", "BM25", "zero-shot", "before mining", "learned")}
    found = {}
    for name, scorer in systems.items():
        found[name] = by_query(scorer, role, own, triples)
        print(name, {k: round(float(np.nanmean(v)), 3) for k, v in found[name].items()}, flush=True)
    rows = []
    for figure in found["learned"]:
        groups = np.array(next(v for k, v in clusters.items() if k in figure), dtype=object)
        for name in systems:
            interval = bootstrap_interval(found[name][figure], groups)
            row = {"figure": figure, "system": name, **interval._asdict()}
            if name != "learned":
                row["learned_minus_it"] = paired_difference(
                    found["learned"][figure], found[name][figure], groups)._asdict()
            rows.append(row)
    write_json(args.out, {"rows": rows, "data_hash": run.data.manifest["data_hash"],
                          "seed": run.config.seed, "code": code_hash(), "machine": machine(),
                          "versions": versions()})


if __name__ == "__main__":
    main()
