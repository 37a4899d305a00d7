"""Late interaction on the five cuts of the cross-validation, beside pooled scores and both summed.

`python scripts/record_interaction.py runs/real` reads the cuts that `record_crossvalidation.py`
left in the run (make them first), trains the default heads anew in each, and asks the same
questions of the same documents: role pairs with hidden titles, own skills, counterfactual triples,
the triples of `rjdb`. It writes `data/results/interaction.json`: each figure with its interval,
clustered by document, and paired differences. The weight of a sum is chosen on the queries of one
half of the documents and judged on the other half, and the reverse. Controls are read from the
cuts' own files. `--sentences 1` says in how many cuts the sentences of all resumes are read
too (they are not in the cache and cost minutes); in the other cuts only those of the triples are,
as are all sentences of jobs, and with `--sentences 0` none. Finished cuts are kept in `--work`.
"""

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from record_ablation import Study
from record_crossvalidation import ROWS, figures_of, of_model
from record_validation import of_triples, triples_as_benchmark

from resume_contrastive.encoder import EncoderConfig, load_dual_encoder
from resume_contrastive.interaction import (
    late_interaction,
    learned_parts,
    parts_of,
    usual_finds,
)
from resume_contrastive.metrics import bootstrap_interval, paired_difference
from resume_contrastive.pipeline import Pipeline
from resume_contrastive.store import code_hash, hash_value, machine, versions, write_json
from resume_contrastive.validation import split_triples, untitled

PLAIN, LEARNED = "interaction", "learned, pooled"
FINE = f"{PLAIN}, resume sentences"
VARIANTS = {  # name -> (pieces of a resume, units of a job, through the heads, options)
    PLAIN: ("windows", "skills", False, {}),
    f"{PLAIN}, learned head": ("windows", "skills", True, {}),
    f"{PLAIN}, mean of two best": ("windows", "skills", False, dict(top=2)),
    f"{PLAIN}, all weigh the same": ("windows", "skills", False, dict(weighted=False)),
    f"{PLAIN}, less what is usual": ("windows", "skills", False, dict(usual=True)),
    FINE: ("sentences", "skills", False, {}),
    f"{FINE}, learned head": ("sentences", "skills", True, {}),
    f"{FINE}, mean of two best": ("sentences", "skills", False, dict(top=2)),
    f"{FINE}, less what is usual": ("sentences", "skills", False, dict(usual=True)),
    f"{FINE}, job sentences": ("sentences", "sentences", False, {}),
    f"{PLAIN}, job sentences": ("windows", "sentences", False, {}),
}
SUMS = (PLAIN, f"{PLAIN}, learned head", f"{PLAIN}, less what is usual", FINE,
        f"{FINE}, less what is usual", f"{FINE}, job sentences")
WEIGHTS = (0.2, 0.35, 0.5, 0.65, 0.8)  # of the interaction
CONTROLS = {"TF-IDF": "TF-IDF", "BM25": "BM25", "zero-shot": "zero-shot, pooled",
            "default": "learned, pooled, as recorded", "five signals": "five signals",
            "blend": "blend with the five signals"}
ROLE = ("role, resume to job, titles hidden, nDCG@10",
        "role, job to resume, titles hidden, nDCG@10")
FIT = ("own skills, AUC", "counterfactual triples", "triples of rjdb")
FIGURES = (*ROLE, *FIT, "own skills, nDCG@10")
SAMPLE = {"windows": 300, "sentences": 40}  # training documents for scales and what is usual


def remembering(embedder):
    """The same embedder; a document's windows are cut once for all cuts, and nothing is written."""
    known, cut = {}, embedder.windows

    def windows(document, limit=None):
        key = (document.kind, limit, document.title, *document.sections.items())
        if key not in known:
            known[key] = cut(document, limit)
        return known[key]

    embedder.windows, embedder.cache.folder = windows, None
    return embedder


class Cut(Study):
    """One cut's data, read through an embedder that all cuts share."""

    def __init__(self, folder: Path, rjdb: Path, embedder):
        super().__init__(folder, rjdb)
        self.embedder = embedder

    def fields(self, encoder: EncoderConfig):
        """Documents to field vectors; the same list is pooled once."""
        def read(documents):
            name = hash_value([(d.kind, d.id, d.title) for d in documents])
            if name not in self.known:
                self.known[name] = self.embedder.fields(self.data.for_encoder(documents))
            return self.known[name]

        return read


class Scores:
    """Score matrices of one cut; each is made once, and so are the parts that it needs."""

    def __init__(self, cut: Cut, model, embedders: dict):
        self.model, self.embedders, self.known = model, embedders, {}
        self.pooled = of_model(model, cut.fields(cut.base.encoder))
        side = {k: untitled(sorted(cut.data.side(k, "train"), key=lambda d: hash_value(d.id)))
                for k in ("resume", "job")}
        self.sample = {n: tuple(side[k][:n] for k in ("resume", "job"))
                       for n in SAMPLE.values()}

    def once(self, what: str, documents: tuple, make):
        """The value that was made for these documents, or a new one."""
        key = (what, hash_value([[(d.id, d.title) for d in side] for side in documents]))
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def parts(self, documents, kind: str, head: bool):
        """Parts of one side."""
        embedder = self.embedders["windows" if kind == "windows" else "short"]
        found = self.once(kind, (documents,), lambda: parts_of(embedder, documents, kind))
        return learned_parts(self.model, found, documents[0].kind) if head else found

    def of(self, name: str, resumes, jobs) -> np.ndarray:
        """The matrix of a variant, or of the learned pooled score."""
        def make():
            if name == LEARNED:
                return self.pooled(resumes, jobs)
            pieces, units, head, options = VARIANTS[name]
            r, j = self.parts(resumes, pieces, head), self.parts(jobs, units, head)
            if options.get("usual"):
                some = self.parts(self.sample[SAMPLE[pieces]][0], pieces, head)
                options = options | {"usual": usual_finds(j, some)}
            return late_interaction(r, j, **options)

        return self.once(name, (resumes, jobs), make)

    def standard(self, name: str, resumes, jobs) -> np.ndarray:
        """In standard deviations among training documents, which is what could be shipped."""
        sentences = name in VARIANTS and "sentences" in VARIANTS[name][:2]
        some = self.of(name, *self.sample[SAMPLE["sentences" if sentences else "windows"]])
        return (self.of(name, resumes, jobs) - some.mean()) / some.std()

    def sum(self, name: str, weight: float):
        """The score function of a weighted sum."""
        return lambda r, j: ((1 - weight) * self.standard(LEARNED, r, j)
                             + weight * self.standard(name, r, j))


def kept(found: dict) -> dict[str, list]:
    """The figures that are reported, with hashes of the documents' ids."""
    return {f: [(str(hash_value(i)), None if np.isnan(v) else round(float(v), 5))
                for i, v in found[f]] for f in FIGURES if f in found}


def triples_only(score, cut: Cut) -> dict[str, list]:
    """The two figures whose documents are few enough to read their sentences in every cut."""
    mine = triples_as_benchmark(*split_triples(cut.data, "validation"), "triples")
    return {figure: list(zip([key(j) for j in b.jobs],
                             of_triples(score(list(b.resumes), list(b.jobs))), strict=True))
            for figure, b, key in (("counterfactual triples", mine, lambda j: j.id),
                                   ("triples of rjdb", cut.rjdb, lambda j: j.text))}


def systems(scores: Scores, names: list[str]) -> dict:
    """Name -> score function of one cut."""
    out = {LEARNED: lambda r, j: scores.of(LEARNED, r, j)}
    out |= {n: lambda r, j, n=n: scores.of(n, r, j) for n in names}
    return out | {f"learned + {n}, {w:.0%}": lambda r, j, n=n, w=w: scores.sum(n, w)(r, j)
                  for n in SUMS if n in names for w in WEIGHTS}


def measure(run: Path, seed: int, work: Path, embedders: dict, rjdb: Path, fine: str) -> dict:
    """What every system answers in one cut; what is known already is not asked again.

    `fine`: 'none', 'triples' or 'all', the figures for which sentences are read.
    """
    folder, mine = run / "cuts" / f"cut-{seed}", work / f"cut-{seed}"
    path = mine / "figures.json"
    key = hash_value([json.loads((folder / "cut.json").read_text())["key"], ROWS["default"]])
    done = json.loads(path.read_text()) if path.exists() else {}
    done = done if done.get("key") == key else {"key": key, "figures": {}, "seconds": 0}
    names = [n for n, v in VARIANTS.items() if fine != "none" or "sentences" not in v]
    wanted = {n: FIT[1:] if "job sentences" in n or (fine != "all" and "sentences" in n)
              else FIGURES for n in systems(None, names)}
    if all(f in done["figures"].get(n, ()) for n, fs in wanted.items() for f in fs):
        return done["figures"]
    start, cut = time.process_time(), Cut(folder, rjdb, embedders["windows"])
    if not (mine / "model").exists():
        cut.trained(ROWS["default"], seed)[0].save(mine / "model")
        print(f"cut {seed}: trained, {time.process_time() - start:.0f} s", flush=True)
    scores = Scores(cut, load_dual_encoder(mine / "model"), embedders)
    for name, score in systems(scores, names).items():
        if any(f not in done["figures"].get(name, ()) for f in wanted[name]):
            found = figures_of(score, cut, 1) if len(wanted[name]) > 2 else triples_only(score, cut)
            done["figures"][name] = kept(found)
            means = [np.nanmean(np.array([v for _, v in x], float))
                     for x in done["figures"][name].values()]
            print(f"cut {seed} {name:76}", *(f"{m:.3f}" for m in means), flush=True)
    done["seconds"] += round(time.process_time() - start, 1)
    write_json(path, done)
    return done["figures"]


def cost(run: Path, rjdb: Path, embedders: dict, fine: bool) -> dict:
    """What one job costs: parts and bytes of a resume, seconds for all resumes of a cut."""
    cut = Cut(run / "cuts" / "cut-0", rjdb, embedders["windows"])
    resumes, jobs = (list(d) for d in (cut.benchmarks[0].resumes, cut.benchmarks[0].jobs[:20]))
    asked = [parts_of(embedders["short"], [j], "skills") for j in jobs]
    pooled = cut.embedder.fields(resumes).mean().numpy()
    systems = {"pooled": (len(resumes), lambda j: pooled @ j.vectors[0])}
    for kind, which in {"windows": "windows", **({"sentences": "short"} if fine else {})}.items():
        found = parts_of(embedders[which], resumes, kind)
        systems[kind] = (len(found.vectors), lambda j, r=found: late_interaction(r, j))
    rows = {}
    for name, (parts, score) in systems.items():
        seconds = []
        for j in asked:
            start = time.perf_counter()
            score(j)
            seconds.append(time.perf_counter() - start)
        rows[name] = {"vectors_per_resume": parts / len(resumes),
                      "bytes_per_resume": 4 * pooled.shape[1] * parts / len(resumes),
                      "microseconds_per_resume": 1e6 * float(np.median(seconds)) / len(resumes)}
    return {"resumes": len(resumes), "jobs": len(jobs), "systems": rows,
            "units_per_job": float(np.mean([len(a.vectors) for a in asked]))}


def half(cluster: str) -> int:
    """The half of the documents that a query belongs to."""
    return int(cluster[:8], 16) % 2


def mean_of(cuts: list[dict], system: str, figure: str, side: int) -> float:
    """A figure's mean over the queries of one half."""
    return float(np.mean([v for c in cuts for i, v in c[system][figure]
                          if v is not None and half(i) == side]))


def choose(cuts: list[dict], side: int, fine: bool) -> str:
    """The sum with the best mean fit among those whose role is not below the learned score's."""
    def mean(system, figures):
        return np.mean([mean_of(cuts, system, f, side) for f in figures])

    sums = [s for s in cuts[0] if s.startswith("learned + ") and s.endswith("%")
            and (fine or "sentences" not in s)
            and all(len(c.get(s, ())) == len(FIGURES) for c in cuts)]
    sound = [s for s in sums if mean(s, ROLE) >= mean(LEARNED, ROLE)] or [LEARNED]
    return max(sound, key=lambda s: mean(s, FIT))


def add_chosen(cuts: list[dict], name: str, fine: bool) -> dict[str, str]:
    """Add the system that is chosen on each half and answers for the other."""
    chosen = [choose(cuts, half_, fine) for half_ in (1, 0)]  # for the queries of half 0 and 1
    for c in cuts:
        c[name] = {f: [c[chosen[half(i)]][f][n] for n, (i, _) in enumerate(x)]
                   for f, x in c[LEARNED].items()}
    return {"half 0": chosen[0], "half 1": chosen[1]}


def values(cuts: list[dict], figure: str, system: str) -> tuple[np.ndarray, np.ndarray]:
    """Documents and values of a figure over cuts."""
    rows = [p for c in cuts for p in c[system][figure]]
    return (np.array([p[0] for p in rows]),
            np.array([np.nan if p[1] is None else p[1] for p in rows]))


def main() -> None:
    """Read the cuts, ask, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--cuts", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=1, help="cuts with sentences as well")
    parser.add_argument("--work", type=Path, help="default: RUN/interaction")
    parser.add_argument("--out", type=Path, default=Path("data/results/interaction.json"))
    args = parser.parse_args()
    run, work = Pipeline(args.run), args.work or args.run / "interaction"
    rjdb = Path(os.environ["RESUME_CONTRASTIVE_DATA"]) / "rjdb" / "triples.jsonl"
    embedders = {"windows": remembering(EncoderConfig().embedder(cache=run.cache)),
                 "short": EncoderConfig().embedder(cache=work / "parts")}
    cuts = []
    for seed in range(args.cuts):
        fine = "all" if seed < args.sentences else "triples" if args.sentences else "none"
        figures = measure(args.run, seed, work, embedders, rjdb, fine)
        for file, name in CONTROLS.items():
            path = args.run / "cuts" / f"cut-{seed}" / f"{file.replace(' ', '-')}.json"
            found = json.loads(path.read_text())["figures"]
            figures[name] = {f: found[f] for f in FIGURES}
            if any([i for i, _ in found[f]] != [i for i, _ in figures[LEARNED][f]]
                   for f in FIGURES):
                raise SystemExit(f"{path} asks other queries: run record_crossvalidation.py again")
        cuts.append(figures)
    chosen = {"chosen sum": add_chosen(cuts, "learned + interaction, chosen", False)}
    some = cuts[:args.sentences]
    if some:
        chosen["chosen sum with sentences"] = add_chosen(
            some, "learned + interaction with sentences, chosen", True)
    rows = []
    for figure in FIGURES:
        for system in dict.fromkeys(s for c in cuts for s in c):
            mine = [c for c in cuts if figure in c.get(system, ())]
            if not mine:
                continue
            clusters, found = values(mine, figure, system)
            row = {"figure": figure, "system": system, "cuts": len(mine),
                   "documents": len(set(clusters[~np.isnan(found)])),
                   **bootstrap_interval(found, clusters)._asdict()}
            others = {"minus_learned": LEARNED}
            if not system.endswith("%"):  # a single weight is shown, not judged
                others |= {"minus_bm25": "BM25", "minus_zero_shot": CONTROLS["zero-shot"],
                           "minus_blend": CONTROLS["blend"]}
            for name, other in others.items():
                if other != system:
                    row[name] = paired_difference(
                        found, values(mine, figure, other)[1], clusters)._asdict()
            rows.append(row)
    again = [abs(a - b) for c in cuts for f in FIGURES for (_, a), (_, b) in
             zip(c[LEARNED][f], c[CONTROLS["default"]][f], strict=True) if a is not None]
    write_json(args.out, {
        "rows": rows, "cuts": args.cuts, "sentence_cuts": args.sentences, "chosen": chosen,
        "weights": WEIGHTS, "variants": {k: list(v) for k, v in VARIANTS.items()},
        "sample": SAMPLE, "learned_again": {"largest_difference": max(again),
                                            "mean_difference": float(np.mean(again))},
        "cost": cost(args.run, rjdb, embedders, bool(args.sentences)),
        "config": asdict(run.config), "data_hash": run.data.manifest["data_hash"],
        "seeds": list(range(args.cuts)), "code": code_hash(), "machine": machine(),
        "versions": versions()})


if __name__ == "__main__":
    main()
