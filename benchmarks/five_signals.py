"""Seconds for 463 pairs of 800-word documents by the five signals, MiniLM included, from cold.

    python benchmarks/five_signals.py --threads 2 --out data/results/five_signals.json

Every pair has a resume and an advert of its own, so no text is read twice. The documents are
composed of lines of the sample corpus, drawn anew for each one, with sections as they are there,
and cut at 800 words. "Cold" means a fresh process: importing, loading the weights and reading every
document count; composing the documents does not.
The semantic signal is measured in two readings. `first` reads the first 256 tokens of each text, as
sentence-transformers does by default with this model: the deployed kind of system. `whole` reads
every window of every text, as `zero-shot` does here; fewer pairs keep that affordable (`--whole 0`
leaves it out), and its seconds for all pairs are in proportion.
Other programs disturb the wall clock, so CPU seconds stand beside it, and what free cores would
need by them: those of the encoder shared by the threads, the others by a single one. The load
before and after says how busy the machine was.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
WORDS = 800
BAR = {"pairs": 463, "words": WORDS, "cores": 2, "seconds": 120}


def composed(documents: list, kind: str, n: int, seed: int) -> list:
    """`n` documents of 800 words: a real order of sections, lines drawn from the same sections."""
    from resume_contrastive.documents import Document

    lines: dict[str, list[str]] = {}
    for d in documents:
        for name, text in d.sections.items():
            lines.setdefault(name, []).extend(x for x in text.split("\n") if x.strip())
    out = []
    for i in range(n):
        rng = Random(f"{seed}:{kind}:{i}")
        like = rng.choice(documents)
        names, left = list(like.sections), WORDS - len(like.title.split())
        sections: dict[str, list[str]] = {name: [] for name in names}
        while left > 0:
            name = rng.choice(names)
            words = rng.choice(lines[name]).split()[:left]
            sections[name].append(" ".join(words))
            left -= len(words)
        out.append(Document(id=f"{kind}{i}", kind=kind, title=like.title, sections={
            k: "\n".join(v) for k, v in sections.items() if v}))
    return out


def semantic(reading: str):
    """Cosines of MiniLM's mean vectors, and the embedder: the first 256 tokens, or all windows."""
    import numpy as np

    from resume_contrastive.windows import Embedder

    first = dict(layout="flat", max_windows=1) if reading == "first" else dict(layout="flat")
    embedder = Embedder(**first)

    def vectors(documents: list) -> np.ndarray:
        windows = [embedder.windows(d) for d in documents]
        flat = iter(embedder.embed([w.text for ws in windows for w in ws]))
        means = np.array([np.mean([next(flat) for _ in ws], axis=0) for ws in windows])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    return (lambda resumes, jobs: vectors(resumes) @ vectors(jobs).T), embedder


def measure(pairs: int, reading: str, threads: int, seed: int) -> dict:
    """The signals of `pairs` pairs in this fresh process, each one timed."""
    began, used = time.perf_counter(), time.process_time()
    import torch

    from resume_contrastive import five_signals as fs
    from resume_contrastive.documents import read_table
    from resume_contrastive.extractors import Taggers
    from resume_contrastive.requirements import coverage_matrix

    torch.set_num_threads(threads)
    imported, import_cpu = time.perf_counter() - began, time.process_time() - used
    sides = [composed(read_table(ROOT / "data/sample" / f"{name}s.csv", name)[0], name, pairs, seed)
             for name in ("resume", "job")]
    composing = time.perf_counter() - began - imported
    composing_cpu = time.process_time() - used - import_cpu
    cosine, embedder = semantic(reading)
    five = fs.FiveSignals(cosine, background=[d for side in sides for d in side],
                          taggers=Taggers())
    background = time.perf_counter() - began - imported - composing
    parts: dict[str, tuple[float, float]] = {}

    def timed(name: str, function, *args):
        start = time.perf_counter(), time.process_time()
        value = function(*args)
        parts[name] = time.perf_counter() - start[0], time.process_time() - start[1]
        return value

    timed("semantic", five.semantic, *sides)
    read = timed("words of all texts, denied ones apart", five._read, *sides)
    timed("tfidf", fs.tfidf_signal, read["resume"], read["job"], read["idf"])
    timed("keyword", fs.share_found, read["shown"], read["keywords"])
    timed("skill", lambda r, j: coverage_matrix(r, j, years=False), *sides)
    timed("section", lambda: fs.section_signal(fs.completeness(sides[0]), read["aligned"]))
    seconds = time.perf_counter() - began - composing
    cpu = time.process_time() - used - composing_cpu
    encoder = parts["semantic"][1]
    start = time.perf_counter()
    scores = five.score_matrix(*sides).diagonal()  # the vectors are cached: all but the encoder
    again = time.perf_counter() - start
    tokens = sum(w.tokens for side in sides for d in side for w in embedder.windows(d))
    return {"pairs": pairs, "reading": reading, "threads": threads, "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu, 2),
            "seconds_by_cpu": round(cpu - encoder + encoder / threads, 2),
            "import_seconds": round(imported, 2), "background_seconds": round(background, 2),
            "milliseconds_of_a_pair": {k: round(1000 * w / pairs, 2)
                                       for k, (w, _) in parts.items()},
            "cpu_milliseconds_of_a_pair": {k: round(1000 * c / pairs, 2)
                                           for k, (_, c) in parts.items()},
            "all_pairs_again_seconds": round(again, 2), "matrix": pairs * pairs,
            "words_of_a_document": sum(d.n_words for s in sides for d in s) / (2 * pairs),
            "tokens": tokens, "mean_score": round(float(scores.mean()), 2)}


def child(pairs: int, reading: str, threads: int, seed: int) -> dict:
    """`measure` in a process of its own, with so many threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    env = os.environ | dict.fromkeys(names, str(threads)) | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--measure", json.dumps([pairs, reading, threads, seed])]
    load = round(os.getloadavg()[0], 1)
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"measuring failed: {run.stderr.strip().splitlines()[-1]}")
    row = json.loads(run.stdout.splitlines()[-1])
    return row | {"load": [load, round(os.getloadavg()[0], 1)]}


def main() -> None:
    """Command line."""
    from resume_contrastive.store import code_hash, hash_file, machine, versions, write_json

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--pairs", type=int, default=BAR["pairs"])
    parser.add_argument("--whole", type=int, default=60, help="pairs read whole; 0: none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(*json.loads(args.measure))))
        return
    rows = [child(args.pairs, "first", args.threads, args.seed)]
    if args.whole:
        rows.append(child(args.whole, "whole", args.threads, args.seed))
        whole, first = (r["cpu_milliseconds_of_a_pair"]["semantic"] for r in reversed(rows))
        rows[1]["all_pairs_seconds_by_cpu"] = round(
            rows[0]["seconds_by_cpu"] + (whole - first) * args.pairs / 1000 / args.threads, 1)
    record = {"benchmark": "five_signals", "bar": BAR, "met": rows[0]["seconds"] < BAR["seconds"],
              "met_by_cpu": rows[0]["seconds_by_cpu"] < BAR["seconds"],
              "rows": rows, "seed": args.seed, "machine": machine(), "code_hash": code_hash(),
              "data_hash": {n: hash_file(ROOT / "data/sample" / n)
                            for n in ("resumes.csv", "jobs.csv")},
              "versions": versions("resume_contrastive", "torch", "numpy", "scikit-learn")}
    print(json.dumps(rows, indent=1))
    if args.out:
        write_json(args.out, record)
        print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
