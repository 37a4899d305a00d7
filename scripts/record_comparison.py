"""Write the record of a run's A/B: learned score against the five signals, numbers only.

`python scripts/record_comparison.py runs/real` scores the run's validation and test pairs with both
systems and writes `data/results/comparison.json`: the rule, the decision with its reasons, every
paired difference with interval, corrected p and detectable effect, the blends with their weights
and held-out gains, calibration, rank correlation, distributions, cost, and how the two differ where
they disagree most. `--page` writes the HTML page of the same run too. No id and no text is kept.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np

from resume_contrastive.ab import Compared, compare_run
from resume_contrastive.page import captions, headline, write_page
from resume_contrastive.pipeline import Pipeline
from resume_contrastive.store import code_hash, machine, versions, write_json

KEPT = ("benchmark", "aspect", "direction", "metric", "value_a", "value_b", "difference", "low",
        "high", "p", "p_holm", "p_better", "low_corrected", "high_corrected", "n", "clusters",
        "chance", "above_chance", "detectable", "headline", "verdict")


def rows(found: list[dict]) -> list[dict]:
    """Differences without the systems' names."""
    return [{k: r[k] for k in KEPT} for r in found]


def disagreement(found: list[dict], n_pairs: int) -> list[dict]:
    """Mean signals of the listed pairs, apart by which system places the resume higher."""
    out = []
    for name, sign in (("new places higher", 1), ("old places higher", -1)):
        part = [r for r in found if sign * r["change"] > 0]
        signals = [k for k in ("semantic", "tfidf", "keyword", "skill", "section")
                   if part and k in part[0]]
        out.append({"pairs": name, "n": len(part), "of": n_pairs,
                    **{k: float(np.mean([r[k] for r in part])) for k in
                       ("new_score", "old_score", "new_place", "old_place", *signals) if part},
                    **{f"skills {k}": float(np.mean([len(r["evidence"]["skills"][k])
                                                     for r in part]))
                       for k in ("matched", "implied", "missing") if part}})
    return out


def record(run: Pipeline, found: Compared) -> dict:
    """What a reader of a figure must know, and the figures."""
    c = found.comparison
    return {"new": c.a, "old": c.b, "rule": asdict(c.rule), "rule_words": c.rule.sentence(),
            "decision": asdict(c.decision), "headline": headline(c), "captions": captions(c),
            "differences": rows(c.differences), "blend_differences": rows(c.blend_differences),
            "blends": [{**b, "validation": {k: d._asdict() for k, d in b["validation"].items()},
                        **({"test": rows(b["test"])} if "test" in b else {})} for b in c.blends],
            "calibration": c.calibration, "correlation": c.correlation,
            "distributions": c.distributions, "cost": {"one of many": c.cost, "one new": c.single},
            "disagreement": disagreement(c.disagreements, c.correlation["n_pairs"]),
            "notes": c.notes, "config": asdict(run.config), "seed": run.config.seed,
            "data_hash": run.data.manifest["data_hash"],
            "backbone_sha256": run.embedder.backbone_hash, "code": code_hash(),
            "machine": machine(), "versions": versions()}


def main() -> None:
    """Score, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder with a finished evaluation")
    parser.add_argument("--out", type=Path, default=Path("data/results/comparison.json"))
    parser.add_argument("--page", type=Path, help="the .html file of the page")
    parser.add_argument("--top", type=int, default=40, help="pairs whose evidence is averaged")
    args = parser.parse_args()
    run = Pipeline(args.run)
    found = compare_run(run, top=args.top)
    write_json(args.out, record(run, found))
    if args.page:
        found.comparison.disagreements = found.comparison.disagreements[:10]
        write_page(found.comparison, args.page, found.scores)
    print(f"wrote {args.out}: {headline(found.comparison)}")


if __name__ == "__main__":
    main()
