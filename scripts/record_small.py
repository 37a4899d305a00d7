"""Train the small model that may be shipped, judge it, and ship it only if it beats zero-shot.

`python scripts/record_small.py runs/real` trains on texts whose licence allows it: the CC0 resumes
of the run's train and validation splits, jobs composed from O*NET (CC BY 4.0), and this project's
own sample jobs. No advert is read in training. It is judged once on the test split of `runs/real`,
which none of its documents is in, beside the untrained encoder; the rule stands below. The record
is `data/results/small.json`; a model that passes goes to `resume_contrastive/assets/small/`.

How strongly the heads are held to the untrained similarities (distillation) is chosen on the
model's own validation split and on the triples of `rjdb`: the best `select` among those that don't
lose triples outside the interval. So `rjdb` is a development set here; the test split is the judge.
A first version without distillation was judged on the same test split before, and not shipped.
"""

import argparse
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from record_validation import of_triples

from resume_contrastive.benchmarks import triples_benchmark
from resume_contrastive.encoder import encoder_score
from resume_contrastive.evaluation import evaluate
from resume_contrastive.metrics import paired_difference
from resume_contrastive.pipeline import Pipeline, PipelineConfig
from resume_contrastive.scorer import export_model
from resume_contrastive.store import (
    atomic_path,
    code_hash,
    hash_file,
    machine,
    read_json,
    versions,
    write_json,
)

CHANGES = {"data": {"min_paired": 1.0}}
DISTILL = (0.0, 1.0, 3.0, 10.0)
RULE = ("The model is shipped when, against the untrained encoder on held-out documents, at least "
        "one headline figure is better outside its 95 % interval and none is worse outside it.")
ASSETS = Path("resume_contrastive/assets/small")


def held_in(run: Pipeline, source: Path, to: Path) -> int:
    """Write the resumes of the run's train and validation splits as a table of their own."""
    import pandas as pd

    table = pd.read_csv(source, dtype={"ID": str})
    split = run.data.split["resume"]
    table = table[[split.get(i) in ("train", "validation") for i in table.ID]]
    to.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(to) as tmp:
        table.to_csv(tmp, index=False)
    return len(table)


def trained(small: Pipeline, config: PipelineConfig) -> Pipeline:
    """The same data, heads trained and mined with another configuration."""
    run = Pipeline(small.folder, config, cache=small.cache, on_stage=small.on_stage)
    run.train()
    run.mine()
    return run


def candidate(small: Pipeline, real: Pipeline, rjdb) -> dict:
    """Its best validation figure, and what it does to the triples of rjdb."""
    best = small.trained("best")
    sides = list(rjdb.resumes), list(rjdb.jobs)
    mine, plain = (of_triples(f(*sides)) for f in (encoder_score(best, best.model),
                                                   encoder_score(real)))
    stages = [read_json(small.folder / "stages" / f"{s}.json") for s in ("train", "mine")]
    rounds = [stages[0], *stages[1]["rounds"]]
    won = max(rounds, key=lambda r: r["select"])
    return {"select": won["select"], "validation": won["best"], "start": won["start"],
            "rjdb": float(mine.mean()),
            "rjdb_minus_zero_shot": paired_difference(
                mine, plain, np.array([j.text for j in rjdb.jobs]))._asdict()}


def card(about: dict) -> str:
    """What a user of the model must know."""
    lines = [f"| {r['benchmark']} | {r['aspect']} | {r['direction']} | {r['metric']} | "
             f"{r['system']} | {r['value']:.3f} | {r['low']:.3f} to {r['high']:.3f} | {r['n']} |"
             for r in about["rows"] if r["system"] in ("small", "zero-shot")]
    return "\n".join([
        "# Small resume and job matcher", "",
        "Heads of 256 dimensions over the frozen all-MiniLM-L6-v2 (Apache-2.0), which comes with "
        "the package's dependencies.", "", "## Data", "",
        f"- {about['resumes']:,} resumes of Kaggle's resume data set (CC0, says its uploader)",
        "- jobs composed from O*NET, U.S. Department of Labor (CC BY 4.0)",
        "- this project's synthetic sample jobs (Apache-2.0)",
        "- no job advert was read in training", "", f"Data hash `{about['data_hash'][:16]}…`, "
        f"seed {about['seed']}.", "", "## Results on held-out documents", "",
        "| benchmark | aspect | direction | metric | system | value | 95 % interval | n |",
        "|---|---|---|---|---|--:|---|--:|", *lines, "", f"Rule of release: {about['rule']}", "",
        "## Use and limits", "",
        "- For ordering documents that a person will read. Not for rejecting anyone, and not for "
        "any decision about a person without one.",
        "- English office, service and trade resumes of the 2010s; other languages, countries and "
        "trades were not measured.",
        "- Sensitivity to names and to what stands for a group has not been measured.",
        "- A score is no probability of being hired.", ""])


def main() -> None:
    """Train, judge, decide, export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/small"))
    parser.add_argument("--out", type=Path, default=Path("data/results/small.json"))
    args = parser.parse_args()
    root = Path(os.environ["RESUME_CONTRASTIVE_DATA"])
    real = Pipeline(args.run)
    table = args.work.parent / f"{args.work.name}-resumes.csv"
    resumes = held_in(real, root / "kaggle" / "Resume.csv", table)
    c = PipelineConfig()
    c = replace(c, **{k: replace(getattr(c, k), **v) for k, v in CHANGES.items()})
    small = Pipeline(args.work, c, cache=real.cache,
                     on_stage=lambda name, event, record: print(name, event, flush=True))
    small.prepare(table, "data/sample/jobs.csv", profiles=root / "onet")
    small.encode()
    rjdb = triples_benchmark(root / "rjdb" / "triples.jsonl", name="rjdb triples")
    tried = []
    for weight in DISTILL:
        small = trained(small, replace(c, train=replace(c.train, distill=weight)))
        tried.append({"distill": weight, **candidate(small, real, rjdb)})
        print(tried[-1], flush=True)
    kept = [t for t in tried if t["rjdb_minus_zero_shot"]["high"] >= 0]
    chosen = max(kept or tried, key=lambda t: t["select"])
    c = replace(c, train=replace(c.train, distill=chosen["distill"]))
    small = trained(small, c)
    best = small.trained("best")
    systems = {"small": encoder_score(best, best.model), "zero-shot": encoder_score(real),
               "learned": encoder_score(real.trained("best"), real.trained("best").model)}
    asked = [*real.test_benchmarks(), rjdb]
    held = {i for kind in ("resume", "job") for i in real.data.split[kind]
            if real.data.split[kind][i] == "test"}
    inside = {*small.data.resumes, *small.data.jobs}
    if both := held & inside:
        raise ValueError(f"{len(both)} test documents are in the small model's data")
    report = evaluate(systems, asked, seed=0)
    rows, verdicts = [], []
    for r in report.rows:
        if r["metric"] not in ("nDCG@10", "pairwise accuracy", "AUC"):
            continue
        key = (r["benchmark"], r["direction"], r["metric"])
        d = paired_difference(report.values(r["system"], *key), report.values("zero-shot", *key),
                              report.clusters[key[:2]])
        rows.append({**{k: r[k] for k in ("benchmark", "aspect", "direction", "metric", "system",
                                          "value", "low", "high", "n", "chance")},
                     "minus_zero_shot": d._asdict()})
        if r["system"] == "small" and r["metric"] != "AUC":
            verdicts.append("better" if d.low > 0 else "worse" if d.high < 0 else "no difference")
    shipped = "better" in verdicts and "worse" not in verdicts
    about = {"tried": tried, "chosen": chosen["distill"], "rule": RULE, "verdicts": verdicts,
             "shipped": shipped, "resumes": resumes,
             "rows": rows, "changes": CHANGES, "config": asdict(c),
             "counts": small.data.manifest["counts"], "data_hash": small.data.manifest["data_hash"],
             "judged_on": real.data.manifest["data_hash"], "seed": c.seed, "code": code_hash(),
             "inputs": {"Resume.csv": hash_file(root / "kaggle" / "Resume.csv"),
                        "sample jobs": hash_file("data/sample/jobs.csv")},
             "machine": machine(), "versions": versions()}
    write_json(args.out, about)
    for r in rows:
        print(f"{r['benchmark']:12} {r['direction']:12} {r['metric']:18} {r['system']:10} "
              f"{r['value']:.3f} {r['minus_zero_shot']['difference']:+.3f} "
              f"({r['minus_zero_shot']['low']:+.3f} to {r['minus_zero_shot']['high']:+.3f})")
    print("shipped" if shipped else "not shipped", np.unique(verdicts, return_counts=True))
    shutil.rmtree(ASSETS, ignore_errors=True)
    if shipped:
        export_model(best.model, small.embedder, ASSETS, card=card(about),
                     calibration=small.calibrated(), data_hash=about["data_hash"], seed=c.seed)


if __name__ == "__main__":
    main()
