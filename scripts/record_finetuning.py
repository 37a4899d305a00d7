"""Fine-tune the trunk on two thirds of `rjdb`'s triples, judge the other third; three times.

`python scripts/record_finetuning.py` writes `data/results/finetuning.json`: for each fold the share
of held-out triples in which the matched resume is above the unmatched one, before and after, beside
BM25 and the length of the resumes (the unmatched ones are shorter). A tenth of the training triples
chooses the epoch; the held-out third is read once. Finished folds are kept, a stopped study goes
on. The triples are for research: nothing trained here is shipped.
"""

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from resume_contrastive.benchmarks import bm25_scorer, triples_benchmark
from resume_contrastive.encoder import DualEncoder, EncoderConfig
from resume_contrastive.finetuning import TokenReader, load_text_encoder
from resume_contrastive.metrics import bootstrap_interval, paired_difference
from resume_contrastive.sources import Source
from resume_contrastive.store import (
    code_hash,
    hash_file,
    hash_value,
    machine,
    versions,
    write_json,
)
from resume_contrastive.training import preset, train

ENCODER = EncoderConfig(layout="flat", dim=0, sides="shared")
CONFIG = preset("full", trunk_lr=5e-5, batch_size=16, epochs=2, patience=2, checkpoint_steps=5)


def fold_of(jobs: list, folds: int) -> np.ndarray:
    """Triples of one job text are in one fold."""
    texts = {t: n for n, t in enumerate(dict.fromkeys(j.text for j in jobs))}
    order = np.random.default_rng(0).permutation(len(texts))
    return np.array([order[texts[j.text]] % folds for j in jobs])


def right(model, read, triples: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """For each triple its margin, and whether the matched resume is above."""
    jobs, better, worse = ([t[i] for t in triples] for i in range(3))
    with torch.inference_mode():
        j, b, w = (model(read(x), k).numpy() for x, k in
                   ((jobs, "job"), (better, "resume"), (worse, "resume")))
    margin = (b * j).sum(1) - (w * j).sum(1)
    return margin, np.where(margin == 0, 0.5, margin > 0)


def one_fold(triples: list[tuple], held: np.ndarray, folder: Path, key: str) -> dict:
    """Train on what is not held out; results on what is."""
    training = [t for t, h in zip(triples, held, strict=True) if not h]
    testing = [t for t, h in zip(triples, held, strict=True) if h]
    inner, training = training[::10], [t for i, t in enumerate(training) if i % 10]
    embedder = ENCODER.embedder()
    width = embedder.dim
    torch.manual_seed(CONFIG.seed)
    model = load_text_encoder(embedder, DualEncoder(width, ENCODER), trainable=CONFIG.trainable,
                              dropout=CONFIG.dropout, micro_tokens=CONFIG.micro_tokens)
    read = TokenReader(embedder)
    n = len(training)
    jobs, better, worse = ([t[i] for t in training] for i in range(3))
    source = Source("rjdb", read(better + worse), read(jobs), np.array([(i, i) for i in range(n)]),
                    [*range(n)] * 2, [j.text for j in jobs],
                    hard_resumes=np.arange(n, 2 * n)[:, None], duel=1.0)

    def validate(model) -> dict[str, float]:
        margin, hits = right(model, read, inner)
        loss = F.softplus(torch.as_tensor(-margin / CONFIG.temperature)).mean()
        return {"select": -float(loss), "inner": float(hits.mean())}

    before = right(model.eval(), read, testing)[1]
    start = time.perf_counter()
    done = train(model, [source], CONFIG, folder, validate=validate, select="select", key=key,
                 progress=lambda e, n, row: print(e, {k: round(v, 3) for k, v in row.items()},
                                                  flush=True))
    after = right(model.eval(), read, testing)[1]
    return {"key": key, "triples": n, "held_out": len(testing), "best_epoch": done.best_epoch,
            "seconds": round(time.perf_counter() - start, 1),
            "tokens": sum(map(len, read.ids)), "history": done.history,
            "zero_shot": before.tolist(), "fine_tuned": after.tolist()}


def main() -> None:
    """Run the folds that are not done, then write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("data/results/finetuning.json"))
    parser.add_argument("--work", type=Path, default=Path("runs/finetuning"))
    args = parser.parse_args()
    path = Path(os.environ["RESUME_CONTRASTIVE_DATA"], "rjdb", "triples.jsonl")
    asked = triples_benchmark(path)
    n = len(asked.jobs)
    triples = list(zip(asked.jobs, asked.resumes[:n], asked.resumes[n:], strict=True))
    folds = fold_of(list(asked.jobs), args.folds)
    results = []
    found = {k: np.zeros(n) for k in ("zero_shot", "fine_tuned", "bm25", "length")}
    for fold in range(args.folds):
        kept = args.work / f"fold-{fold}.json"
        key = hash_value([hash_file(path), args.folds, fold, asdict(CONFIG), code_hash()])
        if not kept.exists() or json.loads(kept.read_text()).get("key") != key:
            write_json(kept, one_fold(triples, folds == fold, args.work / f"fold-{fold}", key))
        results.append(json.loads(kept.read_text()))
        at = np.flatnonzero(folds == fold)
        for k in ("zero_shot", "fine_tuned"):
            found[k][at] = results[-1].pop(k)
    lexical = bm25_scorer()(list(asked.resumes), list(asked.jobs))  # all resumes: the index's pool
    for i, (_, better, worse) in enumerate(triples):
        for name, b, w in (("bm25", lexical[i, i], lexical[n + i, i]),
                           ("length", len(better.text.split()), len(worse.text.split()))):
            found[name][i] = 0.5 if b == w else b > w
    clusters = np.array([j.text for j in asked.jobs])
    longer = np.array([len(b.text.split()) > len(w.text.split()) for _, b, w in triples])
    rows = {}
    for name, hits in found.items():
        rows[name] = {"all": bootstrap_interval(hits, clusters=clusters),
                      "unmatched_longer": bootstrap_interval(hits[~longer],
                                                             clusters=clusters[~longer])}
    for other in ("zero_shot", "bm25"):
        rows[f"fine_tuned - {other}"] = {"all": paired_difference(
            found["fine_tuned"], found[other], clusters=clusters)}
    write_json(args.out, {
        "rows": {k: {s: x._asdict() for s, x in v.items()} for k, v in rows.items()}, "n": n,
        "unmatched_longer": int((~longer).sum()), "folds": results, "config": asdict(CONFIG),
        "encoder": asdict(ENCODER), "file_sha256": hash_file(path), "code": code_hash(),
        "versions": versions(), "machine": machine()})


if __name__ == "__main__":
    main()
