"""Time mining, and its exact top-k beside FAISS flat on the same arrays, in one run.

    python benchmarks/mining.py --n 2000 10000
    python benchmarks/mining.py --n 25000 50000 100000 --repeats 1 --out data/results/mining.json

Every measurement has a process of its own, so that its peak memory is its own. The contenders take
turns, and the median of the repeats counts. FAISS is left out where it isn't installed.
"""

import argparse
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

COMPARED = 1000  # queries whose neighbours are compared


def peak_mb() -> float:
    """Most memory this process has held, MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(what: str, n: int, dim: int, k: int, seed: int, threads: int, index_file: str) -> dict:
    """Run one contender on n x n unit vectors; returns seconds and MiB."""
    import numpy as np

    rng = np.random.default_rng(seed)
    sides = [rng.standard_normal((n, dim), np.float32) for _ in range(2)]
    for x in sides:
        x /= np.linalg.norm(x, axis=1)[:, None]
    queries, pool = sides
    if what == "faiss":
        import faiss

        faiss.omp_set_num_threads(threads)
        before, start = peak_mb(), time.perf_counter()
        flat = faiss.IndexFlatIP(dim)
        flat.add(pool)
        _, index = flat.search(queries, k)
    elif what == "top_k":
        from resume_contrastive.mining import top_k

        before, start = peak_mb(), time.perf_counter()
        index, _ = top_k(queries, pool, k, similarity="dot")
    else:
        from resume_contrastive.mining import MiningConfig, mine

        pairs = np.stack([np.arange(n), rng.permutation(n)], 1)
        before, start = peak_mb(), time.perf_counter()
        mined = mine(queries, pool, pairs, config=MiningConfig(ceiling=None))
        index = mined.matrix()
    seconds = time.perf_counter() - start
    np.save(index_file, index[:COMPARED])
    return {"seconds": round(seconds, 3), "peak_mb": round(peak_mb()), "before_mb": round(before)}


def child(what: str, n: int, args: argparse.Namespace, index_file: Path) -> dict:
    """`measure` in a fresh process with its threads set."""
    threads = str(args.threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    call = [what, n, args.dim, min(args.k, n), args.seed, args.threads, str(index_file)]
    command = [sys.executable, __file__, "--measure", json.dumps(call)]
    env = os.environ | dict.fromkeys(names, threads)
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{what} at n = {n} failed: {run.stderr.strip().splitlines()[-1]}")
    return json.loads(run.stdout)


def agreement(folder: Path) -> float:
    """Share of neighbours that both found, over the compared queries."""
    import numpy as np

    ours, theirs = (np.load(folder / f"{what}.npy") for what in ("top_k", "faiss"))
    both = [len(np.intersect1d(a, b)) for a, b in zip(ours, theirs, strict=True)]
    return sum(both) / ours.size


def run(args: argparse.Namespace) -> dict:
    """All sizes and contenders; prints as it goes and returns the record."""
    peers = ["faiss"] if importlib.util.find_spec("faiss") else []
    if not peers:
        print("faiss isn't installed (pip install faiss-cpu): ours alone")
    rows = []
    for n in args.n:
        with tempfile.TemporaryDirectory() as folder:
            files = {what: Path(folder) / f"{what}.npy" for what in ("top_k", "mine", *peers)}
            seen = {what: [] for what in files}
            for _ in range(args.repeats):
                for what, file in files.items():
                    seen[what].append(child(what, n, args, file))
            same = agreement(Path(folder)) if peers else None
        for what, runs in seen.items():
            row = {"what": what, "n": n, "k": None if what == "mine" else min(args.k, n)}
            row["seconds"] = round(median(r["seconds"] for r in runs), 3)
            row["all_seconds"] = [r["seconds"] for r in runs]
            row["peak_mb"] = max(r["peak_mb"] for r in runs)
            row["arrays_mb"] = max(r["before_mb"] for r in runs)
            row["same_as_faiss"] = round(same, 6) if what == "top_k" and peers else None
            rows.append(row)
            print(f"{what:6} n {n:>7,}  {row['seconds']:9.2f} s  peak {row['peak_mb']:>6,} MiB")
        if same is not None:
            print(f"       neighbours that both found: {same:.4%}")
    versions = {p: version(p) for p in ("numpy", "faiss-cpu", "resume_contrastive")}
    machine = {"cpus": os.cpu_count(), "threads": args.threads, "kind": platform.machine()}
    settings = {"dim": args.dim, "k": args.k, "seed": args.seed, "repeats": args.repeats}
    python = platform.python_version()
    return {
        "benchmark": "mining", "settings": settings, "rows": rows,
        "machine": machine | {"python": python}, "versions": versions,
    }  # fmt: skip


def version(package: str) -> str | None:
    """Installed version of a package, None when it is absent."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Read the arguments, run, and write the record when asked to."""
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*json.loads(sys.argv[2]))))
        return
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--n", type=int, nargs="+", default=[2000, 10000], help="documents a side")
    p.add_argument("--dim", type=int, default=256, help="width of the embeddings")
    p.add_argument("--k", type=int, default=100, help="neighbours for top_k and FAISS")
    p.add_argument("--repeats", type=int, default=3, help="runs of each")
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="for BLAS and FAISS")
    p.add_argument("--out", type=Path, help="JSON record to write; nothing is written without it")
    args = p.parse_args()
    if min(args.n) < 1 or args.k < 1 or args.repeats < 1 or args.dim < 1 or args.threads < 1:
        p.error("--n, --dim, --k, --repeats and --threads must be at least 1")
    record = run(args)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        draft = args.out.with_name(args.out.name + ".part")
        draft.write_text(json.dumps(record, indent=1) + "\n")
        draft.replace(args.out)


if __name__ == "__main__":
    main()
