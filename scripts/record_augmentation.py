"""Write data/results/augmentation.json: occupations, distances and labels on the real data.

`RESUME_CONTRASTIVE_DATA=/path/to/data python scripts/record_augmentation.py` takes a few minutes on
two cores. The record holds counts, ids of occupations, titles from O*NET, and figures with their n
and 95 % interval: no text of any resume or advert.
"""

import argparse
import difflib
import os
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from resume_contrastive.augmentation import (
    FREE_TEXT,
    OPERATIONS,
    SYNONYMS,
    eda,
    own_skills_pairs,
    protected_lines,
    synonym_table,
)
from resume_contrastive.benchmarks import bm25_scorer, tfidf_scorer, triples_benchmark
from resume_contrastive.composer import compose_job, occupations, read_profiles
from resume_contrastive.dataset import DataConfig
from resume_contrastive.documents import read_table
from resume_contrastive.encoder import encoder_score
from resume_contrastive.metrics import bootstrap_interval, paired_difference
from resume_contrastive.pairs import match_roles
from resume_contrastive.store import hash_file, machine, versions, write_json
from resume_contrastive.windows import Embedder, reading_report

SEED = 42
RATES = (0.05, 0.1, 0.2, 0.3)
RUNS = {**{name: [name] for name in OPERATIONS}, "one of the four": list(OPERATIONS)}
# Read by eye: does an advert for this occupation suit the category's resumes? These do not, or
# hardly; the others do.
DOUBTED = {
    "AUTOMOBILE": {"Sales Representatives of Services, Except Advertising, Insurance, Financial "
                   "Services, and Travel": "sales of services in general"},
    "BPO": {"Computer Network Support Specialists": "16 resumes only, and few are of networks",
            "Network and Computer Systems Administrators": "the same"},
    "CHEF": {"Food Preparation Workers": "below a chef"},
    "CONSULTANT": {"Computer Network Support Specialists": "support, not advice"},
    "ENGINEERING": dict.fromkeys(
        ("Mechanical Engineering Technicians", "Electrical and Electronic Engineering Technicians",
         "Industrial Engineering Technicians"), "technicians, while most resumes are engineers'"),
}


def interval(values, clusters=None) -> dict:
    """Mean with its 95 % bootstrap interval."""
    mean, low, high, n = bootstrap_interval(np.asarray(values, float), clusters, seed=SEED)
    return {"mean": round(mean, 4), "low": round(low, 4), "high": round(high, 4), "n": n}


def chosen_occupations(resumes, jobs, profiles) -> dict:
    """For each category: share of paired resumes, occupations, and composed jobs."""
    config = DataConfig()
    least = config.pairs.min_role
    best = match_roles(resumes, jobs, least=least).best[0] >= least
    rows = {}
    for category, found in occupations(resumes, profiles).items():
        own = np.array([d.category == category for d in resumes])
        share = float(best[own].mean())
        rows[category] = {
            "resumes": int(own.sum()), "paired": round(share, 3),
            "composed": config.jobs_per_category if share < config.min_paired else 0,
            "occupations": [
                {"code": p.code, "title": p.title,
                 "job_title": compose_job(p, seed=config.seed, category=category).title,
                 "doubt": DOUBTED.get(category, {}).get(p.title, "")}
                for p in found[:config.jobs_per_category]]}
    shown = [o for r in rows.values() for o in r["occupations"]]
    return {"min_role": config.pairs.min_role, "min_paired": config.min_paired,
            "categories": rows, "judged": len(shown),
            "suitable": sum(not o["doubt"] for o in shown),
            "profiles": {"read": len(profiles), "with_tasks": sum(bool(p.tasks) for p in profiles)}}


def lines(document):
    """Lines of the free-text sections."""
    return [line for name in FREE_TEXT[document.kind]
            for line in document.sections.get(name, "").split("\n")]


def words_changed(a, b) -> tuple[float, float]:
    """Share of the free text's words that differ, and of the whole document's."""
    changed = total = 0.0
    for old, new in zip(lines(a), lines(b), strict=True):
        x, y = old.split(), new.split()
        total += len(x)
        if x != y:
            matcher = difflib.SequenceMatcher(None, x, y, autojunk=False)
            changed += max(len(x), len(y)) - sum(m.size for m in matcher.get_matching_blocks())
    return changed / max(total, 1), changed / max(a.n_words, 1)


def trigrams(document) -> set:
    """Three words in a row, of the free text."""
    found = (line.lower().split() for line in lines(document))
    return {tuple(w[i:i + 3]) for w in found for i in range(len(w) - 2)}


def distances(documents, table, embedder, embed) -> list[dict]:
    """How far copies go, by operation and rate; cosine for the first `embed` documents."""
    rows = []
    for kind in ("resume", "job"):
        docs = [d for d in documents if d.kind == kind]
        base = [trigrams(d) for d in docs]
        plain = embedder.fields(docs[:embed]).mean().numpy() if kind == "resume" else None
        for name, operations in RUNS.items():
            for rate in RATES:
                copies = [eda(d, rate=rate, seed=SEED, operations=operations, synonyms=table)
                          for d in docs]
                free, whole = zip(*map(words_changed, docs, copies), strict=True)
                jaccard = [1 - len(a & b) / max(len(a | b), 1)
                           for a, b in zip(base, map(trigrams, copies), strict=True)]
                row = {"kind": kind, "operation": name, "rate": rate,
                       "words_of_free_text": interval(free), "words_of_document": interval(whole),
                       "trigram_jaccard_distance": interval(jaccard),
                       "copies_that_differ": interval([c.sections != d.sections for c, d in
                                                       zip(copies, docs, strict=True)])}
                if plain is not None and rate in (0.1, 0.3):
                    near = embedder.fields(copies[:embed]).mean().numpy()
                    row["cosine_distance"] = interval(1 - (plain * near).sum(1))
                rows.append(row)
    return rows


def labels(path, limit, table, embedder) -> dict:
    """Matched over unmatched, plain and with augmented texts, and the paired difference."""
    bench = triples_benchmark(path, limit=limit)
    n = len(bench.jobs)
    systems = {"zero-shot MiniLM": encoder_score(embedder), "BM25": bm25_scorer(),
               "TF-IDF": tfidf_scorer([*bench.resumes, *bench.jobs])}

    def won(score, resumes, jobs):
        s = np.asarray(score(resumes, jobs))
        a, b = s[np.arange(n), np.arange(n)], s[np.arange(n) + n, np.arange(n)]
        return (a > b) + 0.5 * (a == b)

    rows = []
    for rate in (0.1, 0.3):
        resumes, jobs = ([eda(d, rate=rate, seed=SEED, synonyms=table) for d in side]
                         for side in (bench.resumes, bench.jobs))
        for name, score in systems.items():
            plain = won(score, bench.resumes, bench.jobs)
            for what, r, j in (("resumes", resumes, bench.jobs), ("jobs", bench.resumes, jobs),
                               ("both", resumes, jobs)):
                new = won(score, r, j)
                d = paired_difference(new, plain, seed=SEED)
                rows.append({"system": name, "rate": rate, "augmented": what,
                             "plain": interval(plain), "after": interval(new),
                             "difference": {"mean": round(d.difference, 4), "low": round(d.low, 4),
                                            "high": round(d.high, 4), "n": d.n}})
        changed = {"resumes": interval([a.sections != b.sections for a, b in
                                        zip(resumes, bench.resumes, strict=True)]),
                   "jobs": interval([a.sections != b.sections for a, b in
                                     zip(jobs, bench.jobs, strict=True)])}
        rows[-1] = {**rows[-1], "changed": changed}
    read = reading_report(embedder, [*bench.resumes, *bench.jobs])
    return {"n": n, "rows": rows, "share_read": read["share_read"], "windows": read["windows"]}


def own_skills(resumes, table) -> list[dict]:
    """A resume's own skills list finds the resume before a peer: with its copies too."""
    queries, bodies, pairs = own_skills_pairs(resumes, draws=1, seed=SEED)
    category = {f"{d.id}-without:skills": d.category for d in resumes}
    rng, by_category = np.random.default_rng(SEED), {}
    for n, d in enumerate(bodies):
        by_category.setdefault(category[d.id], []).append(n)
    place = {d.id: n for n, d in enumerate(bodies)}
    own = np.array([place[i] for i in pairs.resume_id])
    peer = np.array([rng.choice([m for m in by_category[category[bodies[n].id]] if m != n] or [n])
                     for n in own])
    score, rows = tfidf_scorer([*bodies, *queries]), []
    base = np.asarray(score(bodies, queries))
    column = np.arange(len(queries))
    for rate in (0.1, 0.3):
        copies = [eda(d, rate=rate, seed=SEED, synonyms=table) for d in bodies]
        new = np.asarray(score(copies, queries))
        wins = [((s[own, column] > s[peer, column]) + 0.5 * (s[own, column] == s[peer, column]))
                for s in (base, new)]
        d = paired_difference(wins[1], wins[0], seed=SEED)
        rows.append({"system": "TF-IDF", "rate": rate, "plain": interval(wins[0]),
                     "after": interval(wins[1]),
                     "difference": {"mean": round(d.difference, 4), "low": round(d.low, 4),
                                    "high": round(d.high, 4), "n": d.n}})
    return rows


def untouchable(documents) -> dict:
    """Share of the words of free text that no edit may touch."""
    out = {}
    for kind in ("resume", "job"):
        shares = []
        for d in documents:
            if d.kind == kind:
                own = d.sections.get("skills", "")
                fixed = [f for name in FREE_TEXT[kind] for line in protected_lines(
                    d.sections.get(name, "").split("\n"), own) for f in line]
                if fixed:
                    shares.append(np.mean(fixed))
        out[kind] = interval(shares)
    return out


def title_words(documents, table) -> dict:
    """How often a word of each source stands in free text in lower case."""
    count: Counter = Counter()
    for d in documents:
        text = " ".join(lines(d))
        for word in table:
            if f" {word} " in text:
                count["verbs" if word in SYNONYMS else "titles"] += text.count(f" {word} ")
    return {"entries": {"verbs": len(SYNONYMS), "titles": len(table) - len(SYNONYMS)},
            "documents": len(documents), "found": dict(sorted(count.items()))}


def main() -> int:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data/results/augmentation.json"))
    parser.add_argument("--sample", type=int, default=60, help="documents of each side")
    parser.add_argument("--embed", type=int, default=20, help="resumes for the cosine distance")
    parser.add_argument("--triples", type=int, default=200, help="triples for the labels")
    args = parser.parse_args()
    data = Path(os.environ["RESUME_CONTRASTIVE_DATA"])
    start = time.perf_counter()
    files = {"resumes": data / "kaggle" / "Resume.csv", "jobs": data / "kaggle/training_data.csv",
             "triples": data / "rjdb" / "triples.jsonl", "onet": data / "onet"}
    resumes, jobs = read_table(files["resumes"], "resume")[0], read_table(files["jobs"], "job")[0]
    profiles = read_profiles(files["onet"])
    table, embedder = synonym_table(profiles), Embedder("minilm", window=256)
    some = [*resumes[::len(resumes) // args.sample][:args.sample],
            *jobs[::len(jobs) // args.sample][:args.sample]]
    record = {
        "config": {"seed": SEED, "rates": RATES, "sample": args.sample, "embed": args.embed,
                   "triples": args.triples, "window": 256, "layout": "sections",
                   "synonyms": "resume verbs and O*NET titles", "wordnet": False},
        "inputs": {name: hash_file(path) for name, path in files.items()},
        "backbone_sha256": embedder.backbone_hash, "machine": machine(), "versions": versions(),
        "occupations": chosen_occupations(resumes, jobs, profiles),
        "synonyms": title_words(some, table), "untouchable": untouchable(some),
        "distances": distances(some, table, embedder, args.embed),
        "own_skills": own_skills(resumes[::7], table),
        "labels": labels(files["triples"], args.triples, table, embedder),
    }
    record["seconds"] = round(time.perf_counter() - start)
    write_json(args.out, record)
    print(f"wrote {args.out} in {record['seconds']} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
