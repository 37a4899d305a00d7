"""Time every metric on many queries, beside ir-measures on a part of them, in one process.

    python benchmarks/metrics.py --out data/results/metrics.json

The queries are random: 100 candidates, 5 of 100 relevant with gains 1 to 3. ir-measures gets its
own data structure ready before the clock starts. The figures of both are compared query by query.
Kendall and pairwise accuracy take one pass for each level of gains; their last rows have gains
that all differ, the worst case.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from resume_contrastive import metrics as m
from resume_contrastive.store import code_hash, machine, versions, write_json

METRICS = {
    "nDCG@10": lambda r: m.ndcg_at_k(r, k=10),
    "MAP": m.average_precision,
    "MRR": m.reciprocal_rank,
    "recall@10": lambda r: m.recall_at_k(r, k=10),
    "precision@10": lambda r: m.precision_at_k(r, k=10),
    "AUC": m.auc,
    "pairwise accuracy": m.pairwise_accuracy,
    "Spearman": m.spearman_rows,
    "Kendall": m.kendall_rows,
}


def ours(scores: np.ndarray, gains: np.ndarray, block: int) -> tuple[dict, dict]:
    """Seconds of each step, and the values of each metric; block by block, so memory is bounded."""
    seconds, values = {"sorting, shared by all": 0.0}, {name: [] for name in METRICS}
    for i in range(0, len(scores), block):
        start = time.perf_counter()
        ranked = m.rank_queries(scores[i : i + block], gains[i : i + block])
        seconds["sorting, shared by all"] += time.perf_counter() - start
        for name, f in METRICS.items():
            start = time.perf_counter()
            values[name].append(f(ranked))
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
    return seconds, {k: np.concatenate(v) for k, v in values.items()}


def theirs(scores: np.ndarray, gains: np.ndarray) -> tuple[float, dict]:
    """Seconds of ir-measures for the metrics that it has, and its values."""
    import ir_measures as ir

    rows, columns = range(len(scores)), range(scores.shape[1])
    qrels = {str(q): {str(d): int(gains[q, d]) for d in columns} for q in rows}
    run = {str(q): {str(d): float(scores[q, d]) for d in columns} for q in rows}
    names = {ir.nDCG @ 10: "nDCG@10", ir.AP: "MAP", ir.RR: "MRR", ir.R @ 10: "recall@10",
             ir.P @ 10: "precision@10"}
    start = time.perf_counter()
    found = list(ir.iter_calc(list(names), qrels, run))
    seconds = time.perf_counter() - start
    values = {name: np.full(len(scores), np.nan) for name in names.values()}
    for x in found:
        values[names[x.measure]][int(x.query_id)] = x.value
    return seconds, values


def main() -> None:
    """Make the queries, run both, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--part", type=int, default=2_000, help="queries for ir-measures")
    parser.add_argument("--block", type=int, default=5_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rng, shape = np.random.default_rng(0), (args.queries, args.candidates)
    scores = rng.random(shape)
    gains = np.where(rng.random(shape) < 0.05, rng.integers(1, 4, shape), 0).astype(float)
    gains[:, 0] = 1
    seconds, values = ours(scores, gains, args.block)
    part = slice(0, args.part)
    there, reference = theirs(scores[part], gains[part])
    shared = m.rank_queries(scores[part], gains[part])
    start = time.perf_counter()
    m.rank_queries(scores[part], gains[part])
    for name in reference:
        METRICS[name](shared)
    here = time.perf_counter() - start
    apart = {name: float(np.abs(values[name][part] - x).max()) for name, x in reference.items()}
    if max(apart.values()) > 1e-6:
        raise SystemExit(f"the two disagree: {apart}")
    worst = m.rank_queries(scores[part], rng.random((args.part, args.candidates)))
    graded = {}
    for name in ("pairwise accuracy", "Kendall"):
        start = time.perf_counter()
        METRICS[name](worst)
        graded[name] = time.perf_counter() - start
    record = {
        "queries": args.queries, "candidates": args.candidates, "seed": 0, "seconds": seconds,
        "seconds_all": sum(seconds.values()), "block": args.block,
        "ir_measures": {"queries": args.part, "metrics": list(reference), "seconds": there,
                        "ours_seconds": here, "times_faster": there / here,
                        "largest_difference": max(apart.values())},
        "all_gains_differ": {"queries": args.part, "seconds": graded},
        "threads": os.environ.get("OMP_NUM_THREADS", ""), "machine": machine(),
        "versions": versions(), "code": code_hash(), "load_before": os.getloadavg()[0]}
    for name, value in seconds.items():
        print(f"{name:25s} {value:6.2f} s")
    print(f"{'together':25s} {record['seconds_all']:6.2f} s; {there / here:.0f} times as fast as "
          f"ir-measures on {args.part:,} queries, five metrics")
    if args.out:
        write_json(args.out, record)


if __name__ == "__main__":
    main()
