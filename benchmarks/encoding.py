"""Windows a second: our `Embedder` beside sentence-transformers on the same texts, in one run.

    python benchmarks/encoding.py --documents 100 --out data/results/encoding.json

RESUME_CONTRASTIVE_DATA names the folder with kaggle/Resume.csv. All windows of a random sample of
resumes, read at full length, are the texts; both systems have the same weights, the same number of
threads, fp32, and give unit vectors. First sentence-transformers' batch size is chosen on a part of
the texts. Then the systems take turns, round by round on another part of the texts, so that other
programs on the machine disturb both alike. A round's ratio compares its two neighbours in time; the
median of the ratios counts, with its quartiles. Repeated texts are left in: both see them.
"""

import argparse
import os
import random
import time
from pathlib import Path
from statistics import median, quantiles

BATCHES = (8, 16, 32, 64)  # tried for sentence-transformers; 32 is its default


def window_texts(n: int, seed: int) -> list[str]:
    """All windows of `n` random resumes, in random order."""
    from resume_contrastive.documents import read_table
    from resume_contrastive.windows import Embedder

    table = Path(os.environ["RESUME_CONTRASTIVE_DATA"]) / "kaggle" / "Resume.csv"
    documents, rng = read_table(table, "resume")[0], random.Random(seed)
    cutter = Embedder()
    texts = [w.text for d in rng.sample(documents, n) for w in cutter.windows(d)]
    rng.shuffle(texts)
    return texts


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
    p.add_argument("--round", type=int, default=60, help="windows of a round")
    p.add_argument("--choose", type=int, default=60, help="windows to choose the batch size on")
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

    tried: dict[int, list[float]] = {b: [] for b in BATCHES}
    for _ in range(3):
        for peer.batch in BATCHES:
            tried[peer.batch].append(seconds(peer, texts[: args.choose]))
    speed = {b: round(args.choose / median(t), 2) for b, t in tried.items()}
    peer.batch = max(speed, key=speed.get)
    print(f"sentence-transformers, windows a second by batch size: {speed}")

    rows = []
    for at in range(0, len(texts) - args.round + 1, args.round):
        part = texts[at : at + args.round]
        systems = [("ours", ours), ("peer", peer)]
        took = {name: seconds(s, part) for name, s in systems[:: 1 if at // args.round % 2 else -1]}
        rows.append(took | {"ratio": took["peer"] / took["ours"]})
        print(len(rows), {k: round(v, 2) for k, v in rows[-1].items()}, flush=True)
        if time.perf_counter() - start > 60 * args.minutes:
            break
    ratios = [r["ratio"] for r in rows]
    low, _, high = quantiles(ratios, n=4)
    n = args.round * len(rows)
    record = {
        "benchmark": "encoding", "backbone": "minilm", "dtype": "float32",
        "ratio": round(median(ratios), 3), "ratio_quartiles": [round(low, 3), round(high, 3)],
        "ratio_of_totals": round(sum(r["peer"] for r in rows) / sum(r["ours"] for r in rows), 3),
        "windows_per_second": {k: round(n / sum(r[k] for r in rows), 2) for k in ("ours", "peer")},
        "rounds": [{k: round(v, 3) for k, v in r.items()} for r in rows],
        "n": {"documents": args.documents, "windows": len(texts), "distinct": len(set(texts)),
              "measured": n, "tokens_of_a_window": round(float(np.mean(
                  [len(x) for x in peer.model.tokenizer(texts)["input_ids"]])), 1)},
        "largest_difference": largest,
        "settings": {"threads": args.threads, "peer_batch": peer.batch, "peer_tried": speed,
                     "batch_tokens": ours.embedder.batch_tokens, "round": args.round,
                     "seed": args.seed},
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "data_sha256": hash_file(Path(os.environ["RESUME_CONTRASTIVE_DATA"]) / "kaggle/Resume.csv"),
        "machine": machine(),
        "versions": versions("torch", "transformers", "sentence-transformers", "tokenizers",
                             "resume_contrastive"),
    }  # fmt: skip
    print(f"ratio {record['ratio']} {record['ratio_quartiles']}, {record['windows_per_second']}")
    if args.out:
        write_json(args.out, record)


if __name__ == "__main__":
    main()
