"""Windows a second: torch, sentence-transformers, and ONNX in fp32 and int8, in one run.

    python benchmarks/onnx.py --model models/contrastive --out data/results/onnx.json

RESUME_CONTRASTIVE_DATA names the folder with kaggle/Resume.csv; the sample is read without it.
The texts are all windows of random resumes at full length, sorted by length and cut into slices.
The four systems take turns on each slice, in changing order, with the same number of threads, and
each gives the window's vector from its text, tokenising included. Ratios are those of the sums over
slices, with a 95 % bootstrap interval over slices. Two clocks are read: the wall's, and the
processor time of the process, which other programs on a busy machine disturb less.
"""

import argparse
import os
import random
import time
from pathlib import Path

SYSTEMS = ("torch", "sentence-transformers", "onnx fp32", "onnx int8")


def window_texts(n: int, seed: int) -> tuple[list[str], Path]:
    """All windows of `n` random resumes, longest first, and the table they come from."""
    from resume_contrastive.documents import read_table
    from resume_contrastive.windows import Embedder

    data = os.environ.get("RESUME_CONTRASTIVE_DATA")
    root = Path(__file__).resolve().parent.parent
    table = Path(data) / "kaggle/Resume.csv" if data else root / "data/sample/resumes.csv"
    documents, cutter = read_table(table, "resume")[0], Embedder()
    sample = random.Random(seed).sample(documents, min(n, len(documents)))
    texts = {w.text for d in sample for w in cutter.windows(d)}
    return sorted(texts, key=lambda t: (-len(t), t)), table


def systems(model: Path, threads: int, batch: int) -> dict:
    """Name -> texts to vectors."""
    import numpy as np
    from sentence_transformers import SentenceTransformer

    from resume_contrastive.cutting import token_batches
    from resume_contrastive.onnx_export import FILES, OnnxEncoder, _feed, _threads
    from resume_contrastive.windows import Embedder, find_backbone

    embedder = Embedder(workers=threads)
    embedder._load()
    peer = SentenceTransformer(find_backbone("minilm"), device="cpu")
    peer.max_seq_length = 256

    def ours(texts):
        embedder.cache.clear()
        return embedder.embed(texts)

    def theirs(texts):
        return peer.encode(texts, batch_size=batch, normalize_embeddings=True,
                           show_progress_bar=False)

    def graph(precision):
        encoder = OnnxEncoder(model, precision=precision, threads=threads,
                              graph=model / "onnx" / FILES[precision])

        def run(texts):
            ids = [encoder.cutter.tokenizer(t)["input_ids"][:256] for t in texts]
            batches = token_batches([len(x) for x in ids], encoder.batch_tokens)[::-1]
            out = np.empty((len(texts), encoder.d), np.float32)
            found = _threads(encoder).map(
                lambda b: encoder.session.run(["windows"], _feed(encoder, [ids[i] for i in b]))[0],
                batches)
            for rows, vectors in zip(batches, found, strict=True):
                out[rows] = vectors
            return out

        return run

    return dict(zip(SYSTEMS, (ours, theirs, graph("fp32"), graph("int8")), strict=True))


def ratio(rows: list[dict], clock: str, a: str, b: str, seed: int) -> dict:
    """Sum of a over sum of b, with an interval over slices."""
    import numpy as np

    x, y = (np.array([r[clock][k] for r in rows]) for k in (a, b))
    at = np.random.default_rng(seed).integers(0, len(rows), (2000, len(rows)))
    low, high = np.quantile(x[at].sum(1) / y[at].sum(1), [0.025, 0.975])
    return {"ratio": round(float(x.sum() / y.sum()), 3), "low": round(float(low), 3),
            "high": round(float(high), 3), "n": len(rows)}


def vnni() -> bool | None:
    """Whether the processor multiplies and adds 8-bit numbers in one step; None: not known."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    return any(x in flags for x in ("avx512_vnni", "avx_vnni")) if flags else None


def main() -> None:
    """Command line."""
    import numpy as np
    import torch

    from resume_contrastive.store import code_hash, hash_file, machine, versions, write_json

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model", type=Path, required=True, help="model folder with onnx/")
    p.add_argument("--documents", type=int, default=40, help="resumes in the sample")
    p.add_argument("--slice", type=int, default=24, help="windows of a slice")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="of all systems")
    p.add_argument("--batch", type=int, default=32, help="of sentence-transformers")
    p.add_argument("--minutes", type=float, default=10, help="stop after a slice beyond them")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", type=Path, help="JSON record to write")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    texts, table = window_texts(args.documents, args.seed)
    run, load = systems(args.model, args.threads, args.batch), os.getloadavg()[0]
    warm = texts[:: max(1, len(texts) // 8)]
    reference = run["torch"](warm)
    cosine = {k: float((f(warm) * reference).sum(1).mean()) for k, f in run.items()}
    slices = [texts[i : i + args.slice] for i in range(0, len(texts), args.slice)]
    random.Random(args.seed).shuffle(slices)
    start, rows = time.perf_counter(), []
    for part in slices:
        row = {"windows": len(part), "wall": {}, "cpu": {}}
        for k in SYSTEMS[len(rows) % 4 :] + SYSTEMS[: len(rows) % 4]:
            wall, cpu = time.perf_counter(), time.process_time()
            run[k](part)
            row["wall"][k] = round(time.perf_counter() - wall, 4)
            row["cpu"][k] = round(time.process_time() - cpu, 4)
        rows.append(row)
        if time.perf_counter() - start > 60 * args.minutes:
            break
    n = sum(r["windows"] for r in rows)
    record = {
        "benchmark": "onnx", "backbone": "minilm",
        "windows_per_second": {c: {k: round(n / sum(r[c][k] for r in rows), 2) for k in SYSTEMS}
                               for c in ("wall", "cpu")},
        "int8_over": {c: {k: ratio(rows, c, k, "onnx int8", args.seed) for k in SYSTEMS[:3]}
                      for c in ("wall", "cpu")},
        "bar": {"torch": 2.0, "sentence-transformers": 2.5}, "vnni": vnni(), "mean_cosine": cosine,
        "n": {"documents": args.documents, "windows": len(texts), "measured": n,
              "characters_of_a_window": round(float(np.mean([len(t) for t in texts])), 1)},
        "settings": {"threads": args.threads, "peer_batch": args.batch, "slice": args.slice,
                     "seed": args.seed}, "rounds": rows,
        "load": [round(load, 1), round(os.getloadavg()[0], 1)], "data_sha256": hash_file(table),
        "code_hash": code_hash(), "machine": machine(),
        "versions": versions("torch", "transformers", "sentence-transformers", "onnxruntime",
                             "tokenizers", "resume_contrastive"),
    }  # fmt: skip
    for c, found in record["int8_over"].items():
        print(c, record["windows_per_second"][c], {k: v["ratio"] for k, v in found.items()})
    if args.out:
        write_json(args.out, record)


if __name__ == "__main__":
    main()
