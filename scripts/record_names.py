"""Measure how far names move the scores on the validation split of a run, and write the record.

    python scripts/record_names.py runs/real

Every resume gets a header with each name in turn; nothing else differs, which is verified on the
bytes. Test data is not read. The record holds numbers and the published names only.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from resume_contrastive.benchmarks import tfidf_scorer
from resume_contrastive.calibration import Calibration, scores_of
from resume_contrastive.cleaning import contact_spans
from resume_contrastive.documents import Document
from resume_contrastive.encoder import load_dual_encoder
from resume_contrastive.extractors import Taggers
from resume_contrastive.five_signals import FiveSignals
from resume_contrastive.metrics import (
    bootstrap_interval,
    bootstrap_means,
    holm,
    ndcg_at_k,
    paired_difference,
    percentile_interval,
)
from resume_contrastive.names import (
    NAMES,
    between_excess,
    cell_effects,
    dealt_ratios,
    edit_effects,
    header_of,
    impact_ratio,
    match_names,
    rotations,
    selection_rates,
    strip_header,
    verify_headers,
    with_header,
)
from resume_contrastive.pipeline import Pipeline
from resume_contrastive.store import (
    atomic_path,
    code_hash,
    hash_file,
    machine,
    read_json,
    versions,
    write_json,
)
from resume_contrastive.validation import split_benchmarks, split_triples
from resume_contrastive.windows import FieldBatch, pool_fields

ROOT = Path(__file__).resolve().parent.parent
KS = (5, 10, 20)
DEALS = 400
CHUNK = 7  # versions of all resumes scored in one call


class Systems:
    """All systems on the same documents; those that share windows read them once."""

    def __init__(self, p: Pipeline):
        self.data = p.data
        self.model = load_dual_encoder(p.folder / "model").eval()
        self.embedder = self.model.config.embedder(cache=p.cache)
        background = [*p.data.side("resume", "train"), *p.data.side("job", "train")]
        self.tfidf = tfidf_scorer(background)
        self.five = FiveSignals(lambda r, j: self.zero, background=background, taggers=Taggers())
        self.cut: dict[tuple[str, str, str], list] = {}

    def fields(self, documents: list) -> FieldBatch:
        """`Embedder.fields`, which cuts each section once: versions share all of them but one."""
        windows = []
        for d in documents:
            windows.append([])
            for name, text in {"title": d.title, **d.sections}.items():
                key = (d.kind, name, text)
                if text and key not in self.cut:
                    own = {"title": text} if name == "title" else {"sections": {name: text}}
                    self.cut[key] = self.embedder.windows(Document(id="", kind=d.kind, **own))
                windows[-1] += self.cut.get(key, [])
        flat = [w for ws in windows for w in ws]
        return pool_fields(self.embedder.embed([w.text for w in flat]), windows)

    @torch.inference_mode()
    def __call__(self, resumes: list, jobs: list) -> dict[str, np.ndarray]:
        """System -> (n_resumes, n_jobs)."""
        r, j = (self.fields(self.data.for_encoder(d)) for d in (resumes, jobs))
        learned = (self.model(r, "resume") @ self.model(j, "job").T).double().numpy()
        self.zero = (r.mean() @ j.mean().T).double().numpy()
        return {"learned": learned, "zero-shot": self.zero, "five signals":
                self.five(resumes, jobs), "TF-IDF": self.tfidf(resumes, jobs)}


def drawn(first: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of n items, those with a match first, then any."""
    order = rng.permutation(len(first))
    return np.sort(order[np.argsort(~first[order], kind="stable")][:n])


def score_versions(systems: Systems, made: list[list], jobs: list,
                   path: Path | None) -> dict[str, np.ndarray]:
    """System -> (n_versions, n_resumes, n_jobs), some versions at a time."""
    found: dict[str, np.ndarray] = {}
    if path and path.exists():
        with np.load(path) as f:
            found = dict(f)
    total, start = len(made[0]), perf_counter()
    for done in range(len(next(iter(found.values()), [])), total, CHUNK):
        part = range(done, min(done + CHUNK, total))
        for name, s in systems([m[v] for v in part for m in made], jobs).items():
            s = s.reshape(len(part), len(made), len(jobs))
            found[name] = np.concatenate([found[name], s]) if name in found else s
        if path:
            with atomic_path(path) as tmp, open(tmp, "wb") as f:
                np.savez(f, **found)
        print(f"{part[-1] + 1} of {total} versions, {perf_counter() - start:.0f} s", flush=True)
    return found


def rows_of(by_job: dict[str, np.ndarray], seed: int, **named) -> list[dict]:
    """A row with its interval over jobs for each measure."""
    rows = []
    for measure, values in by_job.items():
        mean, low, high, n = bootstrap_interval(values, seed=seed)
        rows.append({**named, "measure": measure, "value": mean, "low": low, "high": high, "n": n})
    return rows


def averaged(effects: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean of several edits, job by job."""
    return {k: np.mean([e[k] for e in effects], axis=0) for k in effects[0]}


def edits(scores: np.ndarray, bare: np.ndarray, moved: np.ndarray, cells: list[list[int]]) -> dict:
    """Edit -> measure -> (n_jobs,); `moved`: the first round's names at another address."""
    at = np.arange(scores.shape[1])
    _, names = rotations(len(at), cells)
    shown = [scores[n, at] for n in names]
    flat = {v: c for c in cells for v in c}

    def other(v: int, o: int) -> int:
        """Each other name of the cell in turn."""
        cell = flat[v]
        return cell[(cell.index(v) + 1 + o % (len(cell) - 1)) % len(cell)]

    same = [(a, scores[[other(v, o) for v in n], at]) for a, n in zip(shown, names, strict=True)
            for o in range(max(map(len, cells)) - 1)]
    return {"name of another cell": averaged([edit_effects(a, b) for i, a in enumerate(shown)
                                              for j, b in enumerate(shown) if i != j]),
            "name of the same cell": averaged([edit_effects(a, b) for a, b in same]),
            "another address": edit_effects(shown[0], moved),
            "no header": averaged([edit_effects(a, bare) for a in shown])}


def more_than_same(found: dict, seed: int) -> list[dict]:
    """Each measure for another cell's names minus the same cell's, job by job."""
    rows = []
    for measure, values in found["name of another cell"].items():
        d = paired_difference(values, found["name of the same cell"][measure], seed=seed)
        rows.append({"measure": measure, "difference": d.difference, "low": d.low, "high": d.high,
                     "p": d.p, "n": d.n})
    return rows


def selections(scores: np.ndarray, cells: dict[str, list[int]], seed: int) -> list[dict]:
    """Rates and impact ratios at each k, beside those of dealt labels."""
    rows = []
    for k in KS:
        by_job = selection_rates(scores, list(cells.values()), k)
        rates = by_job.mean(0)
        ends = percentile_interval(impact_ratio(bootstrap_means(by_job, seed=seed))[:, None])
        dealt = dealt_ratios(scores, list(cells.values()), k, DEALS, seed)
        ratio = float(impact_ratio(rates))
        rows.append({"k": k, "ratio": ratio, "low": float(ends[0, 0]), "high": float(ends[1, 0]),
                     "dealt_mean": float(dealt.mean()),
                     "dealt_low": float(np.quantile(dealt, 0.05)),
                     "p": float((1 + (dealt <= ratio + 1e-12).sum()) / (1 + DEALS)),
                     "rates": dict(zip(cells, rates.tolist(), strict=True)), "n": len(by_job)})
    for row, p in zip(rows, holm([r["p"] for r in rows]), strict=True):
        row["p_holm"] = float(p)
    return rows


def validity(systems: Systems, resumes: list, jobs: list, gains: np.ndarray,
             bare: dict[str, np.ndarray], seed: int) -> list[dict]:
    """The skills go: do the scores fall? Somebody lacks support for requirements: who wins?"""
    rows = []
    has = [i for i, r in enumerate(resumes) if r.sections.get("skills")]
    before = {name: s[has] for name, s in bare.items()}
    after = systems([resumes[i].without("skills") for i in has], jobs)
    asked, better, worse = split_triples(systems.data, "validation")
    unique = {j.id: j for j in asked}
    column = [list(unique).index(j.id) for j in asked]
    both = systems([*better, *worse], list(unique.values()))
    pairs = gains[has] > 0  # a matched pair; elsewhere no skill need be asked for
    for name in before:
        sd = before[name].std(axis=0)
        for what, mask in (("matched pairs", pairs), ("all pairs", np.ones_like(pairs))):
            fall = np.where(mask, (before[name] - after[name]) / sd, np.nan)
            lower = np.where(mask, before[name] > after[name], np.nan)
            known = mask.any(axis=0)
            by_job = {f"{k}, {what}": np.nanmean(x[:, known], axis=0)
                      for k, x in (("fall in SD", fall), ("change in SD", np.abs(fall)),
                                   ("share that falls", lower))}
            rows += rows_of(by_job, seed, system=name, test="without skills")
        at = np.arange(len(asked))
        good, bad = both[name][at, column], both[name][at + len(asked), column]
        won = np.where(good == bad, 0.5, good > bad)
        mean, low, high, n = bootstrap_interval(won, [j.id for j in asked], seed=seed)
        rows.append({"system": name, "test": "known better", "measure": "share that wins",
                     "value": mean, "low": low, "high": high, "n": n})
    return rows


def mitigation(systems: Systems, resumes: list, jobs: list, gains: np.ndarray,
               headed: dict[str, np.ndarray], bare: dict[str, np.ndarray], made: list,
               seed: int) -> list[dict]:
    """nDCG@10 of the jobs' rankings: with headers, with headers taken off, and without any."""
    fresh, rows = [], []  # what stripping leaves is scored again only where it is another text
    for r, with_it in zip(resumes, made, strict=True):
        fresh += [d for d in (strip_header(with_it), strip_header(r)) if d.text != r.text]
    again = systems(fresh, jobs) if fresh else {}
    for name, never in bare.items():
        lines = iter(again.get(name, []))
        off, off_never = never.copy(), never.copy()
        for i, (r, with_it) in enumerate(zip(resumes, made, strict=True)):
            for d, out in ((strip_header(with_it), off), (strip_header(r), off_never)):
                if d.text != r.text:
                    out[i] = next(lines)
        for what, after, before in (("strip the header", off, headed[name]),
                                    ("strip where there is none", off_never, never)):
            a, b = (ndcg_at_k(x.T, gains.T) for x in (after, before))
            d = paired_difference(a, b, seed=seed)
            rows.append({"system": name, "what": what, "before": float(np.nanmean(b)),
                         "difference": d.difference, "low": d.low, "high": d.high, "n": d.n})
    return rows


def found_by(names: dict[str, list[str]]) -> dict[str, list[int]]:
    """Cell -> names that the scrubber finds in a header, and names; over all published pairs."""
    out = {}
    for cell, pairs in names.items():
        kinds = [{c.kind for c in contact_spans(header_of(" ".join(p)), name_line=True)}
                 for p in pairs]
        out[cell] = [sum("name" in k for k in kinds), len(pairs)]
    return out


def sizes(tokenizer, names: dict[str, list[str]]) -> dict:
    """Mean letters and word pieces of each cell's names, and how many pieces each edit changes."""
    def pieces(header: str) -> Counter:
        return Counter(tokenizer.tokenize(header))

    cells = {c: {"names": x, "letters": float(np.mean([len(n) for n in x])), "pieces": float(
        np.mean([sum(pieces(n).values()) for n in x])), "header_pieces": float(
        np.mean([sum(pieces(header_of(n)).values()) for n in x]))} for c, x in names.items()}
    every = [(c, n) for c, x in names.items() for n in x]

    def changed(pairs: list[tuple[str, str]]) -> float:
        return float(np.mean([((pieces(a) - pieces(b)) | (pieces(b) - pieces(a))).total()
                              for a, b in pairs]))

    h = header_of
    return {"cells": cells, "changed_pieces": {
        "name of another cell": changed([(h(m), h(n)) for c, m in every for d, n in every
                                         if c != d]),
        "name of the same cell": changed([(h(m), h(n)) for c, m in every for d, n in every
                                          if c == d and m != n]),
        "another address": changed([(h(n), h(n, 1)) for _, n in every])}}


def main() -> int:
    """Read the run folder, score all versions, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder with a finished export")
    parser.add_argument("--cache", type=Path, help="folder of window vectors")
    parser.add_argument("--scores", type=Path, help="an .npz where scores are kept, to go on with")
    parser.add_argument("--resumes", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--names", type=int, default=8, help="of each cell, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "data/results/names.json")
    args = parser.parse_args()
    start, p = perf_counter(), Pipeline(args.run, cache=args.cache)
    role, _ = split_benchmarks(p.data, "validation")
    rng = np.random.default_rng(args.seed)
    rows = drawn((role.gains > 0).any(axis=1), args.resumes, rng)
    columns = drawn((role.gains[rows] > 0).any(axis=0), args.jobs, rng)
    gains = role.gains[np.ix_(rows, columns)]
    resumes, jobs = [role.resumes[i] for i in rows], [role.jobs[j] for j in columns]
    systems = Systems(p)
    tokenizer = systems.embedder._load()[0]

    def size(name: str) -> tuple[int, int]:
        header = header_of(name).split("\n")
        return len(name), 2 * len(tokenizer.tokenize(f"{header[0]} {header[2]}"))

    names = match_names(NAMES, size, args.names)
    flat = [n for x in names.values() for n in x]
    at = np.cumsum([0, *map(len, names.values())])
    cells = {c: list(range(a, b)) for c, a, b in zip(names, at[:-1], at[1:], strict=True)}
    first = rotations(len(resumes), list(cells.values()))[1][0]
    headers = [header_of(n) for n in flat]
    made = [[r, *(with_header(r, h, str(v)) for v, h in enumerate(headers)),
             with_header(r, header_of(flat[v], 1), "moved")]
            for r, v in zip(resumes, first, strict=True)]
    for versions_, v in zip(made, first, strict=True):
        verify_headers(versions_, ["", *headers, header_of(flat[v], 1)])
    scored = score_versions(systems, made, jobs, args.scores)
    at = np.arange(len(made))
    bare = {name: s[0] for name, s in scored.items()}
    headed = {name: s[first + 1, at] for name, s in scored.items()}
    calibration = Calibration(**read_json(args.run / "model/config.json")["calibration"])
    out = {"edits": [], "more_than_same": [], "cells": [], "excess": [],
           "selections": []}
    for name, parts in scored.items():
        scores = parts[1:-1]
        found = edits(scores, parts[0], parts[-1], list(cells.values()))
        for edit, by_job in found.items():
            out["edits"] += rows_of(by_job, args.seed, system=name, edit=edit)
        out["more_than_same"] += [{"system": name, **r} for r in more_than_same(found, args.seed)]
        out["cells"] += [{"system": name, **r} for r in cell_effects(scores, cells,
                                                                     seed=args.seed)]
        out["excess"].append({"system": name, **between_excess(scores, list(cells.values()), flat,
                                                               seed=args.seed)})
        out["selections"] += [{"system": name, **r} for r in selections(scores, cells, args.seed)]
        spread = (scores - scores.mean(0)).mean(1) / scores.mean(0).std(0)
        out.setdefault("spread_of_names", {})[name] = float(spread.mean(1).std())
    points = scores_of(calibration, scored["learned"][1:-1])
    per_job = (points.max(0) - points.min(0)).mean(0)  # of the names, for each job
    out["points"] = rows_of({"largest minus smallest of all names": per_job}, args.seed)
    stripped = [{strip_header(x).text for x in m[1:]} for m in made]
    top = [m[v + 1] for m, v in zip(made, first, strict=True)]
    utility = mitigation(systems, resumes, jobs, gains, headed, bare, top, args.seed)
    record = {
        **out, "validity": validity(systems, resumes, jobs, gains, bare, args.seed),
        "mitigation": utility,
        "stripped": {"resumes": len(made), "one text left": sum(len(s) == 1 for s in stripped),
                     "equal to the resume without a header": sum(
                         s == {m[0].text} for s, m in zip(stripped, made, strict=True)),
                     "found by the scrubber": found_by(NAMES)},
        "names": sizes(tokenizer, names),
        "n": {"resumes": len(resumes), "jobs": len(jobs), "names": len(flat),
              "matched_pairs": int((gains > 0).sum()),
              "jobs_with_a_match": int((gains > 0).any(axis=0).sum()),
              "verified_versions": sum(map(len, made)), "split": "validation"},
        "config": {"deals": DEALS, "ks": list(KS), "rbo_p": 0.9}, "seed": args.seed,
        "data_hash": p.data.manifest["data_hash"],
        "model_sha256": hash_file(args.run / "model" / "model.safetensors"),
        "seconds": round(perf_counter() - start, 1), "code_sha256": code_hash(),
        "machine": machine(), "versions": versions("resume_contrastive", "numpy", "torch"),
    }
    write_json(args.out, record)
    for r in record["cells"]:
        print(r)
    return 0


if __name__ == "__main__":
    sys.exit(main())
