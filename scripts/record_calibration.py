"""Compare the calibration curves on the validation split of a run, and write the record.

    python scripts/record_calibration.py runs/real            data/results/calibration.json

The learned score of all validation pairs, role matches against all others, each curve judged on
held-out groups of jobs. The record holds numbers only.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from resume_contrastive.calibration import (
    WIDTH,
    Calibration,
    choose_calibration,
    fit_calibration,
    scores_of,
)
from resume_contrastive.encoder import encoder_score, load_dual_encoder
from resume_contrastive.pipeline import Pipeline
from resume_contrastive.store import code_hash, hash_file, machine, versions, write_json
from resume_contrastive.validation import split_benchmarks

ROOT = Path(__file__).resolve().parent.parent
SEED = 0


def difference(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> list[float]:
    """Log loss of isotonic minus logistic on held-out groups, with a bootstrap over groups."""
    names, of = np.unique(groups.astype(str), return_inverse=True)
    rng = np.random.default_rng(SEED)
    fold = rng.permutation(len(names))[of] % 5
    gap = np.zeros(len(x))
    for k in range(5):
        train, test = fold != k, fold == k
        losses = []
        for method in ("isotonic", "logistic"):
            curve = fit_calibration(x[train & y], x[train & ~y], method)
            p = (scores_of(curve, x[test]) / 100).clip(1e-6, 1 - 1e-6)
            losses.append(-np.where(y[test], np.log(p), np.log(1 - p)))
        gap[test] = losses[0] - losses[1]
    w = np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    top, bottom = np.bincount(of, w * gap), np.bincount(of, w)
    drawn = rng.integers(0, len(names), (2000, len(names)))
    low, high = np.quantile(top[drawn].sum(1) / bottom[drawn].sum(1), [0.025, 0.975])
    return [round(float(v), 5) for v in (top.sum() / bottom.sum(), low, high)]


def gaps(c: Calibration) -> list[float]:
    """Smallest and largest distance of a bin's balanced share of matches from its score."""
    n, hits = (sum(b[i] for b in c.bins) for i in (0, 1))
    odds = (n - hits) / hits
    found = [abs(100 * m * odds / (m * odds + k - m) - WIDTH * (i + 0.5))
             for i, (k, m) in enumerate(c.bins) if k >= 20]
    return [round(min(found), 2), round(max(found), 2)]


def main() -> int:
    """Read the run folder, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder with a finished export")
    parser.add_argument("--cache", type=Path, help="folder of window vectors")
    parser.add_argument("--out", type=Path, default=ROOT / "data/results/calibration.json")
    args = parser.parse_args()
    p = Pipeline(args.run, cache=args.cache)
    role, _ = split_benchmarks(p.data, "validation")
    model = load_dual_encoder(args.run / "model")
    embedder = model.config.embedder(cache=p.cache)
    raw = encoder_score(embedder, model)(list(role.resumes), list(role.jobs))
    judged = np.isfinite(role.gains)
    groups = np.broadcast_to(np.asarray(role.job_clusters)[None], raw.shape)[judged]
    x, y = raw[judged], role.gains[judged] > 0
    chosen = choose_calibration(x, y, groups, seed=SEED)
    record = {
        "calibration": asdict(chosen), "difference": difference(x, y, groups),
        "largest_gap": gaps(chosen), "seed": SEED,
        "n": {"pairs": len(x), "matched": int(y.sum()), "jobs": len(role.jobs),
              "resumes": len(role.resumes), "groups": len(set(groups.tolist()))},
        "model_sha256": hash_file(args.run / "model" / "model.safetensors"),
        "code_sha256": code_hash(), "machine": machine(),
        "versions": versions("resume_contrastive", "scikit-learn", "numpy", "torch"),
    }
    write_json(args.out, record)
    print({k: record[k] for k in ("n", "difference", "largest_gap")}, chosen.compared)
    return 0


if __name__ == "__main__":
    sys.exit(main())
