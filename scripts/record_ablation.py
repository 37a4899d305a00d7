"""Ablations on the validation split, one difference at a time, with seeds.

`python scripts/record_ablation.py runs/real` reads the data of a run whose `prepare` stage is done,
trains the heads once for each row and seed, and writes `data/results/ablation.json`: the figures
of the best epoch, the triples of `rjdb` (never trained on here), the seconds, and the difference
from the default by query with its 95 % interval, over the seeds that both have. Finished rows are
kept in a file in the run folder, so that a stopped study goes on. Test data is not read.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from resume_contrastive.benchmarks import triples_benchmark
from resume_contrastive.dataset import ROLE_KINDS, read_dataset
from resume_contrastive.encoder import DualEncoder, EncoderConfig
from resume_contrastive.metrics import auc, ndcg_at_k, paired_difference
from resume_contrastive.mining import MiningConfig, mine_both
from resume_contrastive.pairs import role_matrix
from resume_contrastive.pipeline import PipelineConfig
from resume_contrastive.rounds import wrong_category
from resume_contrastive.sources import make_source, make_triples
from resume_contrastive.store import code_hash, hash_value, machine, versions, write_json
from resume_contrastive.training import TrainConfig, train
from resume_contrastive.validation import (
    make_validation,
    split_benchmarks,
    split_triples,
    untitled,
)

FIGURES = ("select", "role", "role_resume_to_job", "role_job_to_resume", "role_titled", "fit",
           "own_skills",
           "own_skills_auc", "triples", "rjdb", "alignment", "uniformity", "best_epoch", "seconds")
V1 = dict(encoder=dict(interaction="attention", merge="learned", field_weight="equal", dim=0),
          train=dict(masks=False, shared_hard=True), own=0.0, role=1.0)
V2 = dict(encoder=dict(sides="shared"), train=dict(temperature=0.05, shared_hard=True), own=0.0,
          role=1.0, mined="band")

# What the study started from; the package's defaults have moved since (cross-validation).
BASE = PipelineConfig(encoder=EncoderConfig(sides="separate"), triple_weight=0.0)


def study() -> list[tuple[str, str, dict, int]]:
    """(group, name, what differs from the default, seeds)."""
    enc, tr = (lambda **k: dict(encoder=k)), (lambda **k: dict(train=k))
    return [
        ("default", "default", {}, 3),
        ("default", "zero-shot", dict(train=dict(epochs=0)), 1),
        ("heads", "fields weigh the same", enc(field_weight="equal"), 3),
        ("heads", "fields weigh the same, merge learned",
         enc(field_weight="equal", merge="learned"), 1),
        ("heads", "fields weigh the same, attend, merge learned",
         enc(field_weight="equal", merge="learned", interaction="attention"), 1),
        ("heads", "fields weigh the same, triples, weight .3",
         dict(encoder=dict(field_weight="equal"), triples=0.3), 1),
        ("ConFit", "like v1: fields attend, role pairs, no masks", V1, 3),
        ("ConFit", "like v1, with masks", V1 | dict(train=dict(masks=True, shared_hard=True)), 1),
        ("ConFit", "like v2: one linear head, role pairs, band mining", V2, 3),
        ("pairs", "role pairs only", dict(own=0.0, role=1.0), 3),
        ("pairs", "own-skills pairs only", dict(role=0.0), 3),
        ("pairs", "role weight 1", dict(role=1.0), 1),
        ("pairs", "trained without titles", dict(untitled=True), 3),
        ("pairs", "trained without titles, fields weigh the same",
         dict(untitled=True, encoder=dict(field_weight="equal")), 1),
        ("pairs", "triples, weight .1", dict(triples=0.1), 1),
        ("pairs", "triples, weight .3", dict(triples=0.3), 3),
        ("pairs", "triples, weight 1", dict(triples=1.0), 1),
        ("reading", "title and first window", enc(max_windows=2), 3),
        ("reading", "title and first seven windows", enc(max_windows=8), 1),
        ("heads", "no projection, learned field weights", enc(dim=0, merge="learned"), 1),
        ("heads", "projection to 64", enc(dim=64), 1),
        ("heads", "Matryoshka 256, 128, 64", tr(matryoshka=(256, 128, 64)), 1),
        ("heads", "one head for both sides", enc(sides="shared"), 3),
        ("heads", "attention between fields", enc(interaction="attention"), 1),
        ("heads", "learned field weights", enc(merge="learned"), 1),
        ("heads", "merge by attention", enc(merge="attention"), 1),
        ("negatives", "no masks", tr(masks=False), 3),
        ("negatives", "guide, margin 0", tr(guide_margin=0.0), 1),
        ("negatives", "guide, margin .1", tr(guide_margin=0.1), 1),
        ("negatives", "graded positives", tr(graded=True), 1),
        ("negatives", "no hard negatives", dict(mined="none"), 3),
        ("negatives", "mined: random", dict(mined="random"),1),
        ("negatives", "mined: band 3-4 %", dict(mined="band"),1),
        ("negatives", "mined: band 3-4 %, ceiling .95", dict(mined="ceiling"), 3),
        ("negatives", "mined: top of the list, no filter", dict(mined="top"), 1),
        ("data", "without EDA", dict(kinds=("role", "synthetic", "paraphrase")), 1),
        ("data", "without O*NET jobs", dict(kinds=("role", "eda", "paraphrase")), 1),
        ("geometry", "distillation, weight 1", tr(distill=1.0), 1),
        ("geometry", "distillation, weight 10", tr(distill=10.0), 3),
        ("geometry", "distillation, weight 10, triples", dict(
            train=dict(distill=10.0), triples=0.3), 1),
        ("geometry", "averaged weights, .99", tr(average=0.99), 1),
        ("sweep", "temperature .02", tr(temperature=0.02), 1),
        ("sweep", "temperature .05", tr(temperature=0.05), 1),
        ("sweep", "temperature .2", tr(temperature=0.2), 1),
        ("sweep", "temperature learned", tr(learn_temperature=True), 1),
        ("sweep", "batch 32", tr(batch_size=32), 1),
        ("sweep", "batch 512", tr(batch_size=512), 1),
        ("sweep", "lr 1e-4", tr(lr=1e-4), 1),
        ("sweep", "lr 1e-3", tr(lr=1e-3), 1),
    ]


class Study:
    """The prepared data, read through whichever encoder a row asks for."""

    def __init__(self, run: Path, rjdb: Path | None):
        stored = json.loads((run / "config.json").read_text())
        self.data, self.cache = read_dataset(run / "data"), run.parent / "embeddings"
        self.least = stored["data"]["pairs"]["min_role"]
        self.base = BASE
        self.rjdb = triples_benchmark(rjdb) if rjdb else None
        self.embedders, self.known = {}, {}
        self.benchmarks = split_benchmarks(self.data, "validation")

    def fields(self, encoder: EncoderConfig):
        """Documents to field vectors; the same list is pooled once."""
        key = hash_value([encoder.backbone, encoder.native_head, encoder.window, encoder.layout,
                          encoder.max_windows, encoder.missing, encoder.field_prefix])
        embedder = self.embedders.setdefault(key, encoder.embedder(cache=self.cache))

        def read(documents):
            name = (key, hash_value([(d.kind, d.id, d.title) for d in documents]))
            if name not in self.known:
                self.known[name] = embedder.fields(self.data.for_encoder(documents))
            return self.known[name]

        return read

    def matches(self, resume_ids: list[str], job_ids: list[str]) -> np.ndarray:
        """Rows and columns that match in role, and so are never negatives."""
        name = ("matches", hash_value([resume_ids, job_ids]))
        if name not in self.known:
            embedder = EncoderConfig().embedder(cache=self.cache)
            found = role_matrix([self.data.resumes[i] for i in resume_ids],
                                [self.data.jobs[i] for i in job_ids],
                                lambda a, b: embedder.embed(a) @ embedder.embed(b).T)
            self.known[name] = np.argwhere(found >= self.least)
        return self.known[name]

    def by_query(self, model: DualEncoder, fields) -> dict[str, np.ndarray]:
        """Figures of single queries; NaN where a query has nothing to find."""
        def vectors(documents, kind):
            with torch.inference_mode():
                return model.eval()(fields(list(documents)), kind).numpy()

        def margins(jobs, better, worse):
            j = vectors(jobs, "job")
            gap = ((vectors(better, "resume") - vectors(worse, "resume")) * j).sum(1)
            return np.where(gap == 0, 0.5, gap > 0)

        role, own = self.benchmarks
        with torch.inference_mode():
            r, j = (model(fields(untitled(d)), k).numpy() for d, k in
                    ((role.resumes, "resume"), (role.jobs, "job")))
        s, seen = r @ j.T, vectors(role.resumes, "resume") @ vectors(role.jobs, "job").T
        t = vectors(own.jobs, "job") @ vectors(own.resumes, "resume").T
        out = {"role_resume_to_job": ndcg_at_k(s, role.gains),
               "role_job_to_resume": ndcg_at_k(s.T, role.gains.T),
               "titled_resume_to_job": ndcg_at_k(seen, role.gains),
               "titled_job_to_resume": ndcg_at_k(seen.T, role.gains.T),
               "own_skills": ndcg_at_k(t, own.gains.T), "own_skills_auc": auc(t, own.gains.T)}
        asked, better, worse = split_triples(self.data, "validation")
        if asked:
            out["triples"] = margins(asked, better, worse)
        if self.rjdb:
            n = len(self.rjdb.jobs)
            out["rjdb"] = margins(self.rjdb.jobs, self.rjdb.resumes[:n], self.rjdb.resumes[n:])
        return out

    def clusters(self) -> dict[str, list]:
        """What is resampled together for each figure."""
        role, own = self.benchmarks
        asked = split_triples(self.data, "validation")[0]
        return {"role_resume_to_job": [r.id for r in role.resumes],
                "role_job_to_resume": [j.id for j in role.jobs],
                "titled_resume_to_job": [r.id for r in role.resumes],
                "titled_job_to_resume": [j.id for j in role.jobs],
                "own_skills": list(own.job_clusters), "own_skills_auc": list(own.job_clusters),
                "triples": [j.id for j in asked],
                "rjdb": list(range(len(self.rjdb.jobs))) if self.rjdb else []}

    def sources(self, row: dict, fields, config: TrainConfig, encoder: EncoderConfig, seed: int):
        """The sources that a row trains on."""
        own, role = row.get("own", 1.0), row.get("role", 0.3)
        out = []
        plain = fields
        if row.get("untitled"):
            fields = lambda documents: plain(untitled(documents))  # noqa: E731
        if own:
            out.append(make_source("own-skills", ("own-skills",), self.data, fields,
                                   weight=own)[0])
        if role:
            source, resume_ids, job_ids = make_source("role", row.get("kinds", ROLE_KINDS),
                                                      self.data, fields, weight=role)
            matches = self.matches(resume_ids, job_ids)
            source.spare(matches)
            how = row.get("mined", "wrong-category")
            if how == "wrong-category":
                source.hard_resumes = wrong_category(self.data, source, resume_ids, job_ids)
            elif how == "random":
                rng = np.random.default_rng(seed)
                r, j = source.pairs.T
                some = rng.integers(len(resume_ids), size=len(r)), rng.integers(len(job_ids),
                                                                                size=len(j))
                fits = set(map(tuple, matches.tolist()))  # as for the mined ones, no match is hard
                source.hard_resumes = np.array([[-1 if (x, b) in fits else x] for x, b in
                                                zip(some[0].tolist(), j.tolist(), strict=True)])
                source.hard_jobs = np.array([[-1 if (a, x) in fits else x] for x, a in
                                             zip(some[1].tolist(), r.tolist(), strict=True)])
            elif how != "none":
                first = self.trained({**row, "mined": "wrong-category"}, seed)[0]
                options = {"band": dict(ceiling=None), "ceiling": {},
                           "top": dict(ceiling=None, band=(0.0, 0.01))}[how]
                with torch.inference_mode():
                    vectors = [first.eval()(b, k).numpy() for b, k in
                               ((source.resumes, "resume"), (source.jobs, "job"))]
                found = mine_both(*vectors, source.pairs, exclude=matches,
                                  config=replace(MiningConfig(seed=seed), **options),
                                  resume_groups=source.resume_groups,
                                  job_groups=source.job_groups)
                source.hard_resumes, source.hard_jobs = found[1].matrix(), found[0].matrix()
            out.append(source)
        if row.get("triples"):
            out.append(make_triples(self.data, fields, weight=row["triples"]))
        return out

    def trained(self, row: dict, seed: int) -> tuple[DualEncoder, list[dict], int, object]:
        """The best model of a row, its history, and how documents are read for it."""
        encoder = replace(self.base.encoder, **row.get("encoder", {}))
        changes = dict(row.get("train", {}))
        epochs = changes.pop("epochs", self.base.train.epochs)
        config = replace(self.base.train, seed=seed, epochs=max(1, epochs), **changes)
        fields = self.fields(encoder)
        sources = self.sources(row, fields, config, encoder, seed)
        torch.manual_seed(seed)
        means = torch.cat([x for s in sources for x in s.guide])
        model = DualEncoder(means.shape[1], encoder).start_from(means)
        validate = make_validation(self.data, fields)
        if not epochs:
            with torch.inference_mode():
                return model.eval(), [{"epoch": 0, **validate(model)}], 0, fields
        with tempfile.TemporaryDirectory() as folder:
            done = train(model, sources, config, folder, validate=validate, select="select")
        return model.eval(), done.history, done.best_epoch, fields

    def measure(self, row: dict, seed: int) -> dict[str, float]:
        """Figures of one row and seed."""
        start = time.perf_counter()
        model, history, best, fields = self.trained(row, seed)
        figures = {k: v for k, v in history[best].items() if k in FIGURES}
        queries = self.by_query(model, fields)
        if self.rjdb:
            figures["rjdb"] = float(queries["rjdb"].mean())
        queries = {k: [None if np.isnan(x) else round(float(x), 5) for x in v]
                   for k, v in queries.items()}
        return figures | {"best_epoch": best, "seconds": round(time.perf_counter() - start, 1),
                          "queries": queries}


def main() -> None:
    """Run what is not yet done, then write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder whose prepare stage is done")
    parser.add_argument("--out", type=Path, default=Path("data/results/ablation.json"))
    parser.add_argument("--only", default="", help="rows whose group or name holds this")
    parser.add_argument("--seeds", type=int, default=3, help="at most")
    parser.add_argument("--keep", action="store_true",
                        help="keep finished rows of another version of the code")
    args = parser.parse_args()
    rjdb = Path(os.environ.get("RESUME_CONTRASTIVE_DATA", "."), "rjdb", "triples.jsonl")
    study_ = Study(args.run, rjdb if rjdb.exists() else None)
    kept = args.run / "ablation.jsonl"
    data_hash = study_.data.manifest["data_hash"]
    done = {}
    for line in kept.read_text().splitlines() if kept.exists() else ():
        entry = json.loads(line)
        if args.keep or entry.get("code") == code_hash():
            done[entry["key"]] = entry
    rows = study()
    for group, name, row, seeds in rows:
        for seed in range(min(seeds, args.seeds)):
            key = hash_value([data_hash, asdict(study_.base), row, seed])
            if key in done or args.only not in f"{group} {name}":
                continue
            figures = study_.measure(row, seed)
            done[key] = {"key": key, "name": name, "seed": seed, "figures": figures,
                         "code": code_hash()}
            with kept.open("a") as f:
                f.write(json.dumps(done[key]) + "\n")
            print(f"{group:10} {name:40} seed {seed}  "
                  + "  ".join(f"{k} {figures[k]:.3f}" for k in (
                      "select", "role", "role_titled", "own_skills_auc", "triples", "rjdb")
                      if k in figures)
                  + f"  epoch {figures['best_epoch']}  {figures['seconds']} s", flush=True)
    out, clusters = [], study_.clusters()
    default = {s: done[k] for s in range(args.seeds)
               if (k := hash_value([data_hash, asdict(study_.base), {}, s])) in done}
    for group, name, row, seeds in rows:
        entries = [done[k] for s in range(seeds)
                   if (k := hash_value([data_hash, asdict(study_.base), row, s])) in done]
        if entries:
            figures = {f: [e["figures"][f] for e in entries] for f in FIGURES
                       if f in entries[0]["figures"]}
            difference = {}
            for k in entries[0]["figures"]["queries"] if row else ():
                pairs = [(e, default[e["seed"]]) for e in entries if e["seed"] in default]
                with_, without = (np.mean([np.array(e["figures"]["queries"][k], float)
                                           for e in side], axis=0)
                                  for side in zip(*pairs, strict=True))
                found = paired_difference(with_, without, np.array(clusters[k], dtype=object))
                difference[k] = found._asdict()
            out.append({"group": group, "name": name, "changes": row, "seeds": len(entries),
                        "difference": difference,
                        "mean": {k: float(np.mean(v)) for k, v in figures.items()},
                        "sd": {k: float(np.std(v, ddof=1)) for k, v in figures.items()
                               if len(v) > 1}, "values": figures})
    counts = study_.data.pairs.groupby(["kind", "split"]).size()
    write_json(args.out, {
        "rows": out, "config": asdict(study_.base), "data_hash": data_hash,
        "pairs": {f"{k} {s}": int(n) for (k, s), n in counts.items()},
        "rjdb": len(study_.rjdb.jobs) if study_.rjdb else 0, "code": code_hash(),
        "rows_of_other_code": sum(e.get("code") != code_hash() for e in done.values()),
        "versions": versions(), "machine": machine()})


if __name__ == "__main__":
    main()
