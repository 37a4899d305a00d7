"""What the space of vectors looks like before and after training, on documents held out of it.

`python scripts/record_space.py runs/real` writes `data/results/space.json`: for the zero-shot
encoder and the learned model the similarities of matched pairs and of all other pairs as counts,
alignment and uniformity, how many of a resume's ten nearest resumes share its category, and a map
of the resumes in two dimensions (t-SNE; numbers and categories only). The documents are those of
the validation split; test data is not read.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from resume_contrastive.metrics import auc, bootstrap_interval, paired_difference
from resume_contrastive.pipeline import Pipeline
from resume_contrastive.store import code_hash, machine, versions, write_json
from resume_contrastive.validation import geometry, split_benchmarks

EDGES = np.linspace(-0.4, 1.0, 57)


def neighbours(vectors: np.ndarray, category: np.ndarray, k: int = 10) -> np.ndarray:
    """For each resume the share of its k nearest that are of its category."""
    s = vectors @ vectors.T
    np.fill_diagonal(s, -np.inf)
    near = np.argsort(-s, axis=1, kind="stable")[:, :k]
    return (category[near] == category[:, None]).mean(1)


def plane(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Two dimensions for the eye."""
    from sklearn.manifold import TSNE

    return TSNE(2, init="pca", perplexity=20, metric="cosine", random_state=seed).fit_transform(
        vectors)


def main() -> None:
    """Encode, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("data/results/space.json"))
    args = parser.parse_args()
    run = Pipeline(args.run)
    role, _ = split_benchmarks(run.data, "validation")
    category = np.array([d.category for d in role.resumes])
    best = run.trained("best")
    sides = [run.fields(list(d)) for d in (role.resumes, role.jobs)]
    with torch.inference_mode():
        models = {"zero-shot": [torch.nn.functional.normalize(b.mean(), dim=1).numpy()
                                for b in sides],
                  "learned": [best.model(b, k).numpy()
                              for b, k in zip(sides, ("resume", "job"), strict=True)]}
    matched = role.gains > 0
    systems, kept = {}, {}
    for name, (r, j) in models.items():
        s = r @ j.T
        kept[name] = neighbours(r, category)
        systems[name] = {
            "matched": np.histogram(s[matched], EDGES)[0].tolist(),
            "others": np.histogram(s[~matched], EDGES)[0].tolist(),
            "mean": {"matched": float(s[matched].mean()), "others": float(s[~matched].mean())},
            "sd": {"matched": float(s[matched].std()), "others": float(s[~matched].std())},
            "auc": bootstrap_interval(auc(s, role.gains), [d.id for d in role.resumes])._asdict(),
            "same_category_of_10": bootstrap_interval(kept[name])._asdict(),
            "plane": np.round(plane(r, args.seed), 2).tolist(), **geometry(r, j, role.gains)}
    write_json(args.out, {
        "systems": systems, "edges": np.round(EDGES, 4).tolist(), "category": category.tolist(),
        "n": {"resumes": len(role.resumes), "jobs": len(role.jobs), "pairs": int(matched.sum())},
        "same_category_learned_minus_zero_shot": paired_difference(
            kept["learned"], kept["zero-shot"])._asdict(),
        "chance_same_category": float(np.mean([(category == c).mean() for c in category])),
        "seed": args.seed, "config": run.config, "data_hash": run.data.manifest["data_hash"],
        "code": code_hash(), "machine": machine(), "versions": versions()})


if __name__ == "__main__":
    main()
