"""Windows a second: our `Embedder` beside sentence-transformers on the same texts, in one run.

    python benchmarks/encoding.py --documents 100 --out data/results/encoding.json

RESUME_CONTRASTIVE_DATA names the folder with kaggle/Resume.csv. All windows of a random sample of
resumes, read at full length, are the texts; both systems have the same weights, the same number of
threads, fp32, and give unit vectors. sentence-transformers runs with several batch sizes, and its
best one over the whole run counts. The texts are sorted by length and cut into slices, since
sentence-transformers sorts what it is given: a small random part would cost it padding that the
whole does not. The systems take turns on each slice, in changing order, so that other programs on
the machine disturb all alike. The ratio of the sums counts, with a 95 % interval over slices; the
median ratio of a slice stands beside it, in which short texts weigh more. Slices come in random
order.
"""

import argparse
import os
import random
import time
from pathlib import Path
from statistics import median

BATCHES = (32, 64, 128)  # of sentence-transformers; 32 is its default


def window_texts(n: int, seed: int) -> list[str]:
    """All windows of `n` random resumes, longest first as sentence-transformers takes them."""
    from resume_contrastive.documents import read_table
    from resume_contrastive.windows import Embedder

    table = Path(os.environ["RESUME_CONTRASTIVE_DATA"]) / "kaggle" / "Resume.csv"
    documents, cutter = read_table(table, "resume")[0], Embedder()
    sample = random.Random(seed).sample(documents, n)
    return sorted((w.text for d in sample for w in cutter.windows(d)), key=len, reverse=True)


class Ours:
    """A fresh cache for each call, with the weights kept."""

    def __init__(self, batch_tokens: int | None, workers: int):
        from resume_contrastive.windows import Embedder

        extra = {"batch_tokens": batch_tokens} if batch_tokens else {}
        self.embedder = Embedder(workers=workers, **extra)
        self.embedder._load()

    def __call__(self, texts: list[str]):
        self.embedder.cache.clear()
        return self.embedder.embed(texts)


class Peer:
    """sentence-transformers, which sorts by length; its limit is our window."""

    def __init__(self, window: int):
        from sentence_transformers import SentenceTransformer

        from resume_contrastive.windows import find_backbone

        self.model = SentenceTransformer(find_backbone("minilm"), device="cpu")
        self.model.max_seq_length, self.batch = window, 32

    def __call__(self, texts: list[str]):
        return self.model.encode(
            texts, batch_size=self.batch, normalize_embeddings=True, show_progress_bar=False
        )


def seconds(system, texts: list[str]) -> float:
    """Wall clock of one call."""
    start = time.perf_counter()
    system(texts)
    return time.perf_counter() - start


def main() -> None:
    """Command line."""
    import numpy as np
    import torch

    from resume_contrastive.store import hash_file, machine, versions, write_json

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--documents", type=int, default=100, help="resumes in the sample")
    p.add_argument("--round", type=int, default=128, help="windows of a slice")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="of both systems")
    p.add_argument("--batch-tokens", type=int, help="ours; the default of Embedder without it")
    p.add_argument("--minutes", type=float, default=60, help="stop after a round beyond this time")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", type=Path, help="JSON record to write; nothing is written without it")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    texts = window_texts(args.documents, args.seed)
    ours, peer = Ours(args.batch_tokens, args.threads), Peer(256)
    start, load = time.perf_counter(), os.getloadavg()[0]
    warm = texts[:8]
    largest = float(np.abs(ours(warm) - peer(warm)).max())

    slices = [texts[i : i + args.round] for i in range(0, len(texts), args.round)]
    random.Random(args.seed).shuffle(slices)
    rows = []
    for part in slices:
        order = ["ours", *BATCHES]
        order = order[len(rows) % 4 :] + order[: len(rows) % 4]
        took = {"windows": len(part)}
        for name in order:
            peer.batch = name
            took[str(name)] = seconds(ours if name == "ours" else peer, part)
        rows.append(took)
        print(len(rows), {k: round(v, 2) for k, v in rows[-1].items()}, flush=True)
        if time.perf_counter() - start > 60 * args.minutes:
            break
    total = {k: sum(r[k] for r in rows) for k in rows[0]}
    best = min(BATCHES, key=lambda b: total[str(b)])
    ratios = [r[str(best)] / r["ours"] for r in rows]
    drawn = np.random.default_rng(args.seed).integers(0, len(rows), (2000, len(rows)))
    sums = {k: np.array([r[k] for r in rows])[drawn].sum(1) for k in (str(best), "ours")}
    low, high = np.quantile(sums[str(best)] / sums["ours"], [0.025, 0.975])
    n = total["windows"]
    speed = {k: round(n / v, 2) for k, v in total.items() if k != "windows"}
    record = {
        "benchmark": "encoding", "backbone": "minilm", "dtype": "float32",
        "ratio": round(total[str(best)] / total["ours"], 3),
        "ratio_interval": [round(float(low), 3), round(float(high), 3)],
        "median_of_slices": round(median(ratios), 3),
        "windows_per_second": {"ours": speed["ours"], "peer": speed[str(best)]},
        "rounds": [{k: round(v, 3) for k, v in r.items()} for r in rows],
        "n": {"documents": args.documents, "windows": len(texts), "distinct": len(set(texts)),
              "measured": n, "tokens_of_a_window": round(float(np.mean(
                  [len(x) for x in peer.model.tokenizer(texts)["input_ids"]])), 1)},
        "largest_difference": largest,
        "settings": {"threads": args.threads, "peer_batch": best, "by_peer_batch": speed,
                     "batch_tokens": ours.embedder.batch_tokens, "round": args.round,
                     "seed": args.seed},
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "data_sha256": hash_file(Path(os.environ["RESUME_CONTRASTIVE_DATA"]) / "kaggle/Resume.csv"),
        "machine": machine(),
        "versions": versions("torch", "transformers", "sentence-transformers", "tokenizers",
                             "resume_contrastive"),
    }  # fmt: skip
    print(f"ratio {record['ratio']} {record['ratio_interval']}, {record['windows_per_second']}")
    if args.out:
        write_json(args.out, record)


if __name__ == "__main__":
    main()
