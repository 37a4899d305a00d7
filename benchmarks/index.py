"""A million vectors: recall of the index against exact search, and its cost beside FAISS.

    python benchmarks/index.py --run runs/real --n 1000000 --out data/results/index.json

Vectors of real documents stand in the middle of the clusters: a vector is that of a real resume,
half a step along the difference of two others, and some noise. Queries are vectors of real jobs,
which took no part in that. Without --run the vectors are those of random clusters.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from resume_contrastive.document_index import DocumentIndex, IndexConfig
from resume_contrastive.store import code_hash, machine, versions, write_json

PROBES = (1, 5, 10, 20, 50, 100)  # partitions searched
STEP = 100_000  # rows made, written and searched at a time


def bases(run: Path | None, vectors: Path | None, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Vectors of resumes, vectors of jobs, and where they come from."""
    if vectors:  # an .npz with `resumes` and `jobs`, encoded before
        found = np.load(vectors)
        return found["resumes"], found["jobs"], "real documents"
    if run:
        from resume_contrastive.dataset import read_dataset
        from resume_contrastive.scorer import ContrastiveScorer

        data, scorer = read_dataset(run / "data"), ContrastiveScorer(run / "model")
        sides = [list(side.values()) for side in (data.resumes, data.jobs)]
        return (*(scorer._encode(s[:: len(s) // 1500 or 1]) for s in sides), "real documents")
    rng = np.random.default_rng(seed)
    out = [rng.normal(size=(n, 256)).astype(np.float32) for n in (2000, 1000)]
    out[1] = out[0][rng.integers(0, 2000, 1000)] + out[1]
    return (*(x / np.linalg.norm(x, axis=1, keepdims=True) for x in out), "random clusters")


def make(base: np.ndarray, n: int, seed: int) -> np.ndarray:
    """(n, d) float32 of length 1, around the base vectors."""
    rng, out = np.random.default_rng(seed), np.empty((n, base.shape[1]), np.float32)
    for a in range(0, n, STEP):
        i, k, m = (rng.integers(0, len(base), min(STEP, n - a)) for _ in range(3))
        v = base[i] + 0.5 * (base[k] - base[m])
        v += 0.02 * rng.standard_normal(v.shape, dtype=np.float32)
        out[a : a + STEP] = v / np.linalg.norm(v, axis=1, keepdims=True)
    return out


def exact(rows: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """(n_queries, k) row numbers of the nearest, by one matrix product a step."""
    best = np.full((len(queries), k), -np.inf)
    which = np.zeros((len(queries), k), int)
    for a in range(0, len(rows), STEP):
        s = queries @ rows[a : a + STEP].T
        at = np.argpartition(-s, k, axis=1)[:, :k]
        both = np.concatenate([best, np.take_along_axis(s, at, 1)], 1)
        named = np.concatenate([which, at + a], 1)
        top = np.argsort(-both, axis=1)[:, :k]
        best, which = np.take_along_axis(both, top, 1), np.take_along_axis(named, top, 1)
    return which


def measure(search, queries: np.ndarray, true: np.ndarray) -> dict:
    """Recall with its interval over queries, and milliseconds of a query."""
    recall, took = [], []
    for q, wanted in zip(queries, true, strict=True):
        start = time.perf_counter()
        found = search(q)
        took.append(time.perf_counter() - start)
        recall.append(len(set(found) & set(wanted.tolist())) / len(wanted))
    half = 1.96 * float(np.std(recall)) / len(recall) ** 0.5
    mean = float(np.mean(recall))
    p50, p95 = (round(1000 * float(np.quantile(took, p)), 2) for p in (0.5, 0.95))
    low, high = round(mean - half, 4), round(min(1.0, mean + half), 4)
    return {"recall": round(mean, 4), "interval": [low, high], "p50_ms": p50, "p95_ms": p95,
            "n": len(queries)}  # fmt: skip


def write(index: DocumentIndex, rows: np.ndarray) -> None:
    """Add the rows in steps, each a commit."""
    import pyarrow as pa

    for a in range(0, len(rows), STEP):
        part = rows[a : a + STEP]
        names = pa.array([f"r{i:07d}" for i in range(a, a + len(part))])
        same = {c: pa.array([v] * len(part)) for c, v in
                (("kind", "resume"), ("title", ""), ("category", "x"), ("source", "made"))}
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1])
        index.add_rows(pa.table({"id": names, "content": names, **same, "vector": vectors}))


def main() -> None:
    """Make the vectors, build both, measure, write the record."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--n", type=int, default=1_000_000, help="vectors")
    p.add_argument("--queries", type=int, default=100)
    p.add_argument("--run", type=Path, help="run folder with data/ and model/")
    p.add_argument("--vectors", type=Path, help="an .npz of resumes and jobs, instead of --run")
    p.add_argument("--kind", default="IVF_SQ", help="IVF_SQ, IVF_PQ or IVF_HNSW_SQ")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", type=Path, help="JSON record to write; nothing is written without it")
    args = p.parse_args()
    import faiss

    faiss.omp_set_num_threads(1)
    base, jobs, origin = bases(args.run, args.vectors, args.seed)
    rows = make(base.astype(np.float32), args.n, args.seed)
    pick = np.random.default_rng(args.seed).permutation(len(jobs))[: args.queries]
    queries = jobs[pick].astype(np.float32)
    true = exact(rows, queries, 10)
    print("vectors made", flush=True)
    folder = Path(tempfile.mkdtemp()) / "index"
    config = IndexConfig(kind=args.kind, exact_up_to=1000)
    index, marks = DocumentIndex(folder, model="benchmark", config=config), [clock()]
    write(index, rows)
    marks.append(clock())
    index.optimize()
    marks.append(clock())
    print("index built", [round(b[1] - a[1]) for a, b in pairwise(marks)])
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    curve = []
    for probes in PROBES:
        def ask(q, probes=probes):
            return [int(h.id[1:]) for h in index.query(q, "resume", nprobes=probes)]

        measure(ask, queries[:20], true[:20])  # the pages of the index come to memory
        curve.append({"nprobes": probes, "refine": config.refine, **measure(ask, queries, true)})
        print(curve[-1], flush=True)
    flat = measure(lambda q: [int(h.id[1:]) for h in index.query(q, "resume", exact=True)],
                   queries[:5], true[:5])
    hundred = rows[:STEP]
    product = measure(lambda q: np.argpartition(-(hundred @ q), 10)[:10], queries,
                      exact(hundred, queries, 10))
    shutil.rmtree(folder.parent)

    parts = max(1, args.n // config.rows_per_partition)
    start = clock()
    peer = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], parts,
                              faiss.METRIC_INNER_PRODUCT)
    peer.cp.niter = 10
    peer.train(rows[np.random.default_rng(1).permutation(args.n)[: 64 * parts]])
    for a in range(0, args.n, STEP):
        peer.add(rows[a : a + STEP])
    built, other = clock(), []
    for probes in PROBES:
        peer.nprobe = probes
        row = measure(lambda q: peer.search(q[None], 10)[1][0].tolist(), queries, true)
        other.append({"nprobes": probes, **row})
        print("faiss", other[-1], flush=True)
    seconds = [[round(b[i] - a[i], 1) for i in (0, 1)] for a, b in pairwise(marks)]
    record = {
        "benchmark": "index", "n": args.n, "dim": rows.shape[1], "vectors_from": origin,
        "seed": args.seed, "kind": args.kind, "config": config, "partitions": parts,
        "write_seconds": dict(zip(("wall", "cpu"), seconds[0], strict=True)),
        "build_seconds": dict(zip(("wall", "cpu"), seconds[1], strict=True)),
        "disk_mb": round(size / 1e6, 1), "raw_mb": round(rows.nbytes / 1e6, 1),
        "curve": curve, "exact_lancedb": flat, "exact_100k_numpy": product,
        "faiss": {"index": "IndexIVFFlat in memory", "curve": other, "build_seconds": {
            "wall": round(built[0] - start[0], 1), "cpu": round(built[1] - start[1], 1)}},
        "threads": {"lance": os.environ.get("LANCE_CPU_THREADS", "default"), "faiss": 1},
        "load": round(os.getloadavg()[0], 1), "code_sha256": code_hash(), "machine": machine(),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "versions": versions("lancedb", "faiss-cpu", "numpy", "resume_contrastive"),
    }  # fmt: skip
    print({k: record[k] for k in ("write_seconds", "build_seconds", "disk_mb", "peak_mb")})
    if args.out:
        write_json(args.out, record)


def clock() -> tuple[float, float]:
    """Wall and CPU seconds."""
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    main()
