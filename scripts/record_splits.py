"""Measure twins, planted leaks and the cut on the real data; write data/results/splits.json.

    RESUME_CONTRASTIVE_DATA=/path/to/data python scripts/record_splits.py

Five minutes on one core. The record holds ids, categories and numbers: no text.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import scipy.sparse as sp
from plants import PLANTS, REQUIRED
from scipy.stats import binomtest

from resume_contrastive import registry as reg
from resume_contrastive.documents import Document, document_from_text, read_file, read_table
from resume_contrastive.registry import Groups, TestRegistry, drop_leaks, letter_grams
from resume_contrastive.splits import SPLITS, SplitConfig, make_splits
from resume_contrastive.store import hash_file, machine, versions, write_json

SEED = 0
MANY = 2000  # plants of each kind, over other seeds
EDGES = np.round(np.arange(0, 1.0001, 0.02), 2)
THRESHOLDS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9)


def rate(k: int, n: int) -> dict:
    """A share with its exact 95 % interval (Clopper and Pearson 1934)."""
    ci = binomtest(int(k), int(n)).proportion_ci()
    return {"k": int(k), "n": int(n), "low": round(ci.low, 5), "high": round(ci.high, 5)}


def histogram(values: np.ndarray) -> list[int]:
    """Counts over EDGES."""
    return np.histogram(values, EDGES)[0].tolist()


# ---------------------------------------------------------------- twins


def sparse(grams: list[np.ndarray]) -> sp.csr_matrix:
    """One row a document, one column a gram."""
    flat = np.concatenate(grams)
    unique, column = np.unique(flat, return_inverse=True)
    ends = np.cumsum([0, *map(len, grams)])
    return sp.csr_matrix((np.ones(len(flat), np.int32), column, ends), (len(grams), len(unique)))


def all_pairs(grams: list[np.ndarray], floor: float = 0.2) -> tuple[np.ndarray, ...]:
    """Brute force: (i, j, containment, grams in common) of every pair from `floor` on."""
    x, found = sparse(grams), []
    turned, size = x.T.tocsr(), np.array([len(g) for g in grams])
    for start in range(0, len(grams), 128):
        c = (x[start:start + 128] @ turned).tocoo()
        i, j, shared = c.row + start, c.col, c.data
        value = shared / np.maximum(1, np.minimum(size[i], size[j]))
        keep = (i < j) & (value >= floor)
        found.append((i[keep], j[keep], value[keep], shared[keep]))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def groups_of(i: np.ndarray, j: np.ndarray) -> set[frozenset]:
    """Connected sets of two or more."""
    groups = Groups()
    for a, b in zip(i.tolist(), j.tolist(), strict=True):
        groups.join(a, b)
    return {frozenset(s) for s in groups.sets() if len(s) > 1}


def in_runs(a: str, b: str, least: int = 4) -> float:
    """Share of the shorter text's words in common runs of 4 or more: no grams, no hashes."""
    x, y = a.lower().split(), b.lower().split()
    blocks = SequenceMatcher(None, x, y, autojunk=False).get_matching_blocks()
    return sum(m.size for m in blocks if m.size >= least) / max(1, min(len(x), len(y)))


def twins(docs: list[Document]) -> dict:
    """Near-duplicates found, beside all pairs compared with all grams."""
    every = [letter_grams(d.text, keep=1) for d in docs]
    kept = [g[g % np.uint64(reg.KEEP) == 0] for g in every]
    i, j, value, shared = all_pairs(every)
    real = (value >= reg.TWIN) & (shared >= reg.KEEP * reg.MIN_SHARED)
    truth = set(zip(i[real].tolist(), j[real].tolist(), strict=True))
    place = {d.id: n for n, d in enumerate(docs)}
    clusters = {frozenset(place[x] for x in c) for c in reg.near_duplicates(docs)}
    home = {m: n for n, c in enumerate(clusters) for m in c}
    pairs = sorted(truth)
    together = [a in home and home[a] == home.get(b) for a, b in pairs]
    share = dict(zip(zip(i.tolist(), j.tolist(), strict=True), value.tolist(), strict=True))
    lost = [share[p] for p, same in zip(pairs, together, strict=True) if not same]
    ends = {x for pair in truth for x in pair}
    estimate = np.array([reg.containment(kept[a], kept[b]) for a, b in zip(i, j, strict=True)])
    sweep = []
    for t in THRESHOLDS:
        at = (value >= t) & (shared >= reg.KEEP * reg.MIN_SHARED)
        sizes = sorted(map(len, groups_of(i[at], j[at])))
        sweep.append({"threshold": t, "pairs": int(at.sum()), "groups": len(sizes),
                      "documents": sum(sizes), "largest": sizes[-1] if sizes else 1})
    rng = np.random.default_rng(SEED)
    kinds = {"twins": np.flatnonzero(real), "0.2 to 0.4": np.flatnonzero(value < reg.TWIN)}
    runs = {name: [in_runs(docs[i[k]].text, docs[j[k]].text)
                   for k in rng.permutation(ks)[:100]] for name, ks in kinds.items()}
    pairs = rng.integers(len(docs), size=(100, 2))
    runs["random pairs"] = [in_runs(docs[a].text, docs[b].text) for a, b in pairs if a != b]
    category = [len({docs[m].category for m in c}) == 1 for c in clusters]
    return {
        "documents": len(docs), "compared": len(docs) * (len(docs) - 1) // 2,
        "same_words": len(docs) - len({d.fingerprint for d in docs}),
        "clusters": len(clusters), "in_clusters": sum(map(len, clusters)),
        "sizes": {str(k): v for k, v in sorted(Counter(map(len, clusters)).items())},
        "of_one_category": sum(category),
        "pairs_kept_together": rate(sum(together), len(truth)),
        "nearest_pair_lost": round(max(lost, default=0), 3),
        "documents_rightly_in_a_cluster": rate(len(ends & set(home)), len(home)),
        "estimate": {"n": len(i), "bias": round(float((estimate - value).mean()), 4),
                     "sd": round(float((estimate - value).std()), 4)},
        "sweep": sweep,
        "word_runs": {k: {"n": len(v), "median": round(float(np.median(v)), 3),
                          "low": round(float(np.quantile(v, 0.05)), 3),
                          "high": round(float(np.quantile(v, 0.95)), 3)} for k, v in runs.items()},
    }


# ---------------------------------------------------------------- plants


def shares(registry: TestRegistry, text: str) -> np.ndarray:
    """For each registered text: share of its grams, or of this text's, whichever is larger."""
    keys, _, flat, owner, sizes = registry._lookup()
    grams = letter_grams(text)
    start = np.searchsorted(flat, grams, "left")
    n = np.searchsorted(flat, grams, "right") - start
    at = np.repeat(start - np.cumsum(n) + n, n) + np.arange(n.sum())
    shared = np.bincount(owner[at], minlength=len(keys))
    return np.where(shared >= reg.MIN_SHARED,
                    np.maximum(shared / np.maximum(sizes, 1), shared / max(1, len(grams))), 0)


def signature(text: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """MinHash of a text's runs of three words, 128 values (Broder 1997)."""
    w = text.lower().split()
    runs = {" ".join(w[i:i + 3]) for i in range(len(w) - 2)} or {text}
    x = pd.util.hash_array(np.array(sorted(runs), dtype=object)).astype(np.uint64)
    return (x[:, None] * a + b).min(0)


def plants(held: list[Document], words: list[str]) -> dict:
    """Every registered text in every disguise; then many more with other seeds."""
    registry = TestRegistry().add(held, "held")
    draw = np.random.default_rng(SEED)
    a, b = draw.integers(1, 2**63, (2, 128), dtype=np.uint64) | np.uint64(1)
    known = np.array([signature(d.text, a, b) for d in held])
    out = {}
    for name, change in PLANTS.items():
        own, minhash = [], 0
        for k, d in enumerate(held):
            text = change(d.text, Random(f"{SEED}:{name}:{k}"), words)
            own.append(shares(registry, text)[k])
            minhash += (known[k] == signature(text, a, b)).mean() >= 0.5
        more = []
        for n in range(MANY):
            k, seed = n % len(held), SEED + 1 + n // len(held)
            text = change(held[k].text, Random(f"{seed}:{name}:{k}"), words)
            more.append(shares(registry, text)[k])
        own, more = np.array(own), np.array(more)
        out[name] = {
            "required": name in REQUIRED, "found": rate((own >= reg.LEAK).sum(), len(own)),
            "found_with_other_seeds": rate((more >= reg.LEAK).sum(), len(more)),
            "found_as_twin": rate((more >= reg.TWIN).sum(), len(more)),
            "minhash_found": rate(minhash, len(own)),
            "least": round(float(min(own.min(), more.min())), 3),
            "median": round(float(np.median(more)), 3), "histogram": histogram(more)}
    return out


def strangers(registry: TestRegistry, docs: list[Document], own: set[str]) -> dict:
    """How near unrelated documents come to a registered text."""
    docs = [d for d in docs if d.id not in own]
    best = np.array([shares(registry, d.text).max() for d in docs])
    return {"alarms": rate((best >= reg.LEAK).sum(), len(docs)), "comparisons":
            len(docs) * len(registry), "highest": np.sort(best)[-5:].round(3).tolist(),
            "histogram": histogram(best)}


def florex(root: Path) -> list[Document]:
    """Resumes of another collection."""
    table = pd.read_csv(root / "florex" / "resumes.csv.gz", dtype=str).dropna(subset="text")
    return [document_from_text(t, "resume", id=f"florex-{i}")
            for i, t in zip(table.id, table.text, strict=True) if any(c.isalpha() for c in t)]


# ---------------------------------------------------------------- the cut


def cut(resumes: list[Document], jobs: list[Document]) -> dict:
    """The cut of the clean corpus: sizes by category, and whether any twins are parted."""
    splits = make_splits(resumes, jobs)
    by = {}
    for d in resumes:
        by.setdefault(d.category, Counter())[splits.resumes[d.id]] += 1
    parted = {}
    for kind, docs, side in (("resume", resumes, splits.resumes), ("job", jobs, splits.jobs)):
        i, j, value, shared = all_pairs([letter_grams(d.text) for d in docs])
        twin = (value >= reg.TWIN) & (shared >= reg.MIN_SHARED)
        apart = [side[docs[a].id] != side[docs[b].id]
                 for a, b in zip(i[twin], j[twin], strict=True)]
        parted[kind] = rate(sum(apart), len(apart))
    return {"report": splits.report, "by_category": {
        c: [n[s] for s in SPLITS] for c, n in sorted(by.items())}, "twins_parted": parted}


def measure(root: Path) -> dict:
    """Read the real data once; everything that chapter 02 quotes."""
    resumes = read_table(root / "kaggle" / "Resume.csv", "resume")[0]
    jobs = read_table(root / "kaggle" / "training_data.csv", "job")[0]
    pdfs = [read_file(p, "resume") for p in sorted(root.glob("resume/*/*.pdf"))]
    docx = [read_file(p, "resume") for p in sorted((root / "vacancy-resume/CV").glob("*.docx"))]
    vacancies = read_table(root / "vacancy-resume" / "5_vacancies.csv", "job")[0]
    print(len(resumes), len(jobs), len(pdfs), len(docx), len(vacancies), "read", flush=True)
    registry, ids = TestRegistry().add(pdfs, "pdf").add(docx, "cv"), {d.id for d in pdfs}
    clean, leaks = drop_leaks(resumes, registry)
    clean_jobs, job_leaks = drop_leaks(jobs, registry)
    both = TestRegistry().add(pdfs, "pdf").add(docx, "cv").add(vacancies, "vacancy")
    out = {"registry": {
        "registered": len(registry), "in_csv": len(ids & {d.id for d in resumes}),
        "found": rate(sum(x.document_id == x.registered_id for x in leaks), len(ids)),
        "least": min(x.similarity for x in leaks if x.document_id == x.registered_id),
        "dropped": len(leaks), "dropped_jobs": len(job_leaks),
        "others": [[x.document_id, x.registered_id, x.similarity, x.how] for x in leaks
                   if x.document_id not in ids],
        "vacancies_in_adverts": rate(len(both.find(jobs)) - len(job_leaks), len(jobs)),
        "strangers": {"resumes": strangers(registry, resumes, ids),
                      "adverts": strangers(registry, jobs, set()),
                      "resumes of another collection": strangers(registry, florex(root), set())}}}
    print("registry", {k: v for k, v in out["registry"].items() if k != "strangers"}, flush=True)
    words = [w for d in clean[::7] for w in d.text.split()]
    out["plants"] = plants([*pdfs, *docx], words)
    print({k: (v["found"], v["least"]) for k, v in out["plants"].items()}, flush=True)
    out["twins"] = {"resume": twins(clean), "job": twins(clean_jobs)}
    out["cut"] = cut(clean, clean_jobs)
    return out


def main() -> int:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data/results/splits.json"))
    args = parser.parse_args()
    root = os.environ.get("RESUME_CONTRASTIVE_DATA")
    if not root:
        parser.error("RESUME_CONTRASTIVE_DATA names no folder of real data")
    root, c = Path(root), SplitConfig()
    record = measure(root)
    record |= {
        "settings": {"gram": reg.GRAM, "keep": reg.KEEP, "leak": reg.LEAK, "twin": reg.TWIN,
                     "min_shared": reg.MIN_SHARED, "min_grams": reg.MIN_GRAMS,
                     "shares": [c.train, c.validation, c.test], "split_seed": c.seed,
                     "seed": SEED, "edges": EDGES.tolist()},
        "data": {n: hash_file(root / n) for n in (
            "kaggle/Resume.csv", "kaggle/training_data.csv", "resume", "vacancy-resume",
            "florex/resumes.csv.gz")},
        "machine": machine(), "versions": versions("resume_contrastive", "numpy", "scipy")}
    write_json(args.out, record)
    print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
