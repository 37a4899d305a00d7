"""Five random cuts of the documents that are not test data: figures that one validation split of a
few dozen queries can't decide.

`python scripts/record_crossvalidation.py runs/real` reads a run's data, leaves its test split out,
cuts the rest 80 to 20 five times (groups of twins stay together), makes pairs, augmented copies and
triples anew inside each cut, trains each configuration on the larger part and asks the smaller one.
It writes `data/results/crossvalidation.json`: each figure with its interval over the queries of all
cuts, clustered by document (one that is asked in two cuts counts as one), and the paired
differences of the default from the controls and of each configuration from the default; and the
means of each cut (`by_cut`). Finished cuts and configurations are kept in the run folder, so that a
stopped study goes on.
"""

import argparse
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from record_ablation import Study
from record_validation import of_triples, triples_as_benchmark

from resume_contrastive.benchmarks import bm25_scorer, tfidf_scorer
from resume_contrastive.composer import read_profiles
from resume_contrastive.dataset import build_dataset, write_dataset
from resume_contrastive.extractors import Taggers
from resume_contrastive.five_signals import FiveSignals
from resume_contrastive.metrics import (
    auc,
    average_precision,
    bootstrap_interval,
    ndcg_at_k,
    paired_difference,
    rank_queries,
)
from resume_contrastive.occupations import read_occupations
from resume_contrastive.pipeline import Pipeline
from resume_contrastive.registry import TestRegistry, drop_leaks
from resume_contrastive.splits import SplitConfig, base_id, is_generated
from resume_contrastive.store import (
    code_hash,
    hash_value,
    machine,
    versions,
    write_json,
    write_text,
)
from resume_contrastive.validation import split_triples, untitled

SEPARATE = "a head for each side"
ROWS = {  # as changes of the ablation's start: a head for each side, no triples
    "default": dict(encoder=dict(sides="shared"), triples=0.3),
    "one head, no triples": dict(encoder=dict(sides="shared")),
    SEPARATE: {},
    f"{SEPARATE}, triples": dict(triples=0.3),
    f"{SEPARATE}, batch 32": dict(train=dict(batch_size=32)),
    f"{SEPARATE}, distillation": dict(train=dict(distill=10.0)),
    f"{SEPARATE}, role pairs only": dict(own=0.0, role=1.0),
    f"{SEPARATE}, own-skills pairs only": dict(role=0.0),
}
CONTROLS = ("TF-IDF", "BM25", "zero-shot")
OLD, BLEND, WEIGHT = "five signals", "blend", 0.8  # of the learned score, as validation chose it


def make_cut(run: Pipeline, folder: Path, seed: int, profiles: Path) -> None:
    """A data set of its own: the run's documents but those of the test split, cut anew."""
    data = run.data
    sides = [[d for d in docs.values() if d.id == base_id(d.id) and not is_generated(d)
              and data.split[kind].get(d.id) in ("train", "validation")]
             for kind, docs in (("resume", data.resumes), ("job", data.jobs))]
    config = replace(run.config.data, splits=SplitConfig(train=0.8, validation=0.2, test=0.0,
                                                         seed=seed))
    resumes, jobs, pairs, facts = build_dataset(
        *sides, config, similarity=run.similarity, profiles=read_profiles(profiles),
        occupations=read_occupations(profiles))
    registry = TestRegistry.load(run.folder / "data" / "registry.json")
    for docs, column in ((resumes, "resume_id"), (jobs, "job_id")):
        derived = [d for d in docs if d.id != base_id(d.id) or is_generated(d)]
        gone = {x.document_id for x in drop_leaks(derived, registry)[1]}
        docs[:] = [d for d in docs if d.id not in gone]
        pairs = pairs[~pairs[column].isin(gone)]
    both = pairs.kind.isin(("control", "counterfactual"))
    whole = pairs[both].groupby("triple").resume_id.transform("size") == 2
    pairs = pairs.drop(whole.index[~whole])
    facts["registry"] = registry
    write_dataset(folder / "data", resumes, jobs, pairs.reset_index(drop=True), facts)
    write_text(folder / "config.json", (run.folder / "config.json").read_text(encoding="utf-8"))


def figures_of(score, study: Study, views: int = 2) -> dict[str, list]:
    """Figure -> (document, value) of each query; documents are what is resampled."""
    role, own = study.benchmarks
    out = {}
    for name, view in (("titles hidden", untitled), ("titles shown", list))[:views]:
        s = score(view(role.resumes), view(role.jobs))
        for way, x, gains, docs in (("resume to job", s, role.gains, role.resumes),
                                    ("job to resume", s.T, role.gains.T, role.jobs)):
            ids = [d.id for d in docs]
            out[f"role, {way}, {name}, nDCG@10"] = list(zip(ids, ndcg_at_k(x, gains), strict=True))
            out[f"role, {way}, {name}, MAP"] = list(
                zip(ids, average_precision(rank_queries(x, gains)), strict=True))
    t = score(list(own.resumes), list(own.jobs)).T
    for name, value in (("nDCG@10", ndcg_at_k(t, own.gains.T)), ("AUC", auc(t, own.gains.T))):
        out[f"own skills, {name}"] = list(zip(own.job_clusters, value, strict=True))
    asked = split_triples(study.data, "validation")
    if asked[0]:
        b = triples_as_benchmark(*asked, "triples")
        out["counterfactual triples"] = list(zip(
            [j.id for j in b.jobs], of_triples(score(list(b.resumes), list(b.jobs))), strict=True))
    if study.rjdb:
        b = study.rjdb
        out["triples of rjdb"] = list(zip(
            [j.text for j in b.jobs], of_triples(score(list(b.resumes), list(b.jobs))),
            strict=True))
    return out


def control(name: str, study: Study):
    """The score function of a control."""
    if name == "zero-shot":
        return of_model(*(study.trained(dict(train=dict(epochs=0)), 0)[i] for i in (0, 3)))
    background = [d for kind in ("resume", "job") for d in study.data.side(kind, "train")]
    made = tfidf_scorer(background) if name == "TF-IDF" else bm25_scorer()
    return lambda r, j: np.asarray(made(list(r), list(j)), float)


def of_model(model, fields):
    """The score function of a model."""
    def score(resumes, jobs):
        with torch.inference_mode():
            r, j = (model.eval()(fields(list(d)), k).numpy() for d, k in
                    ((resumes, "resume"), (jobs, "job")))
        return r @ j.T
    return score


def with_old_score(study: Study, seed: int) -> dict[str, dict[str, list]]:
    """Figures of the five signals and of the blend; titles stay hidden: the signals are slow."""
    background = [d for kind in ("resume", "job") for d in study.data.side(kind, "train")]
    old = FiveSignals(control("zero-shot", study), background=background, taggers=Taggers())
    model, _, _, fields = study.trained(ROWS["default"], seed)
    new, known = of_model(model, fields), {}

    def five(resumes, jobs):
        key = hash_value([[(d.id, d.title) for d in side] for side in (resumes, jobs)])
        if key not in known:
            known[key] = np.asarray(old(list(resumes), list(jobs)), float)
        return known[key]

    def blend(resumes, jobs):
        parts = (x for x in (new(resumes, jobs), five(resumes, jobs)))
        z = [(x - x.mean()) / x.std() for x in parts]
        return WEIGHT * z[0] + (1 - WEIGHT) * z[1]

    return {OLD: figures_of(five, study, 1), BLEND: figures_of(blend, study, 1)}


def kept_figures(path: Path, key: str, seed: int, system: str, found: dict) -> dict:
    """Write what a system answered in a cut, under hashes of the documents' ids."""
    found = {f: [(str(hash_value(i)), None if np.isnan(v) else round(float(v), 5))
                 for i, v in values] for f, values in found.items()}
    write_json(path, {"key": key, "cut": seed, "system": system, "figures": found,
                      "code": code_hash()})
    means = {f: np.mean([v for _, v in x if v is not None]) for f, x in found.items()}
    print(f"cut {seed} {system:44}", *(f"{v:.3f}" for v in means.values()), flush=True)
    return json.loads(path.read_text())


def measure(work: Path, cuts: int, run: Pipeline, profiles: Path, rjdb, only: str) -> list[dict]:
    """What each system answers in each cut."""
    results = []
    work.mkdir(parents=True, exist_ok=True)
    (work / "embeddings").exists() or (work / "embeddings").symlink_to(run.cache.resolve())
    for seed in range(cuts):
        folder = work / f"cut-{seed}"
        key = hash_value([run.data.manifest["data_hash"], seed, asdict(run.config.data)])
        stamp = folder / "cut.json"
        if not stamp.exists() or json.loads(stamp.read_text())["key"] != key:
            make_cut(run, folder, seed, profiles)
            write_json(stamp, {"key": key})
        study = None
        for name in (*CONTROLS, *(r for r in ROWS if only in r)):
            kept = folder / f"{name.replace(' ', '-')}.json"
            asked = hash_value([key, name, ROWS.get(name), asdict(run.config.train)])
            if not kept.exists() or json.loads(kept.read_text())["key"] != asked:
                study = study or Study(folder, rjdb)
                if name in CONTROLS:
                    found = figures_of(control(name, study), study)
                else:
                    model, _, _, fields = study.trained(ROWS[name], seed)
                    found = figures_of(of_model(model, fields), study)
                    study.known = {k: v for k, v in study.known.items() if k[0] != "matches"}
                kept_figures(kept, asked, seed, name, found)
            results.append(json.loads(kept.read_text()))
        asked = hash_value([key, OLD, BLEND, WEIGHT, ROWS["default"], asdict(run.config.train)])
        paths = {name: folder / f"{name.replace(' ', '-')}.json" for name in (OLD, BLEND)}
        if any(not p.exists() or json.loads(p.read_text())["key"] != asked
               for p in paths.values()):
            study = study or Study(folder, rjdb)
            for name, found in with_old_score(study, seed).items():
                kept_figures(paths[name], asked, seed, name, found)
        results += [json.loads(p.read_text()) for p in paths.values()]
    return results


def by_cut(results: list[dict]) -> dict[str, dict[str, dict[str, list]]]:
    """Figure -> 'n' and 'mean' -> system -> one number for each cut, in the order of the cuts."""
    found: dict[str, dict[str, dict[str, list]]] = {}
    for r in sorted(results, key=lambda r: r["cut"]):
        for figure, pairs in r["figures"].items():
            known = [v for _, v in pairs if v is not None]
            to = found.setdefault(figure, {"n": {}, "mean": {}})
            to["n"].setdefault(r["system"], []).append(len(known))
            to["mean"].setdefault(r["system"], []).append(
                round(sum(known) / len(known), 5) if known else None)
    return found


def main() -> None:
    """Cut, train, ask, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--cuts", type=int, default=5)
    parser.add_argument("--only", default="", help="configurations whose name holds this")
    parser.add_argument("--out", type=Path, default=Path("data/results/crossvalidation.json"))
    args = parser.parse_args()
    root = Path(os.environ["RESUME_CONTRASTIVE_DATA"])
    run = Pipeline(args.run)
    results = measure(args.run / "cuts", args.cuts, run, root / "onet",
                      root / "rjdb" / "triples.jsonl", args.only)
    found: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for system in dict.fromkeys(r["system"] for r in results):
        mine = [r["figures"] for r in results if r["system"] == system]
        for figure in mine[0]:  # a system that was asked less has no row there
            pairs = [p for x in mine for p in x.get(figure, ())]
            found.setdefault(figure, {})[system] = (
                np.array([p[0] for p in pairs]),
                np.array([np.nan if p[1] is None else p[1] for p in pairs]))
    rows = []
    for figure, systems in found.items():
        for system, (clusters, values) in systems.items():
            row = {"figure": figure, "system": system, "changes": ROWS.get(system, {}),
                   "documents": len(set(clusters[~np.isnan(values)])),
                   **bootstrap_interval(values, clusters)._asdict()}
            if system != "default":
                row["default_minus_it"] = paired_difference(
                    systems["default"][1], values, clusters)._asdict()
            if system == BLEND:
                row["blend_minus_old"] = paired_difference(
                    values, systems[OLD][1], clusters)._asdict()
            rows.append(row)
    write_json(args.out, {
        "rows": rows, "by_cut": by_cut(results), "cuts": args.cuts, "config": asdict(run.config),
        "data_hash": run.data.manifest["data_hash"], "seeds": list(range(args.cuts)),
        "code": code_hash(), "codes_of_results": len({r["code"] for r in results}),
        "machine": machine(), "versions": versions()})


if __name__ == "__main__":
    main()
