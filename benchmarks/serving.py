"""Throughput, latency and memory of the example backend under 64 HTTP clients, beside one client.

    python benchmarks/serving.py --out data/results/serving.json            # about four minutes
    python benchmarks/serving.py --seconds 30 --single 15 --warm 10         # a quick look

The server is a process of its own, started as its README says, on `--cores` cores that it shares
with the clients. Every request scores one job, the same for all, with a resume of 200 words: four
of five are new, made from the lines of the sample corpus, the fifth was sent before. One client
sends one request at a time before and after the crowd, with the same mix, and the ratio is the
crowd's requests a second over the mean of both. Its interval comes from slices of five seconds,
drawn with replacement. Resumes sent before must score under load as they did alone: a mixed-up
batch would show.

Memory is the server's resident set, read once a second. The store of vectors is kept small
(`--keep`), so that it is full when the warm-up ends, and what still grows is a leak. The slope is
that of a line through the means of twelve blocks, with its t-interval. CPU time a request stands
beside the wall clock: it changes less when other programs run.
"""

import argparse
import asyncio
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SLICE = 5.0  # seconds
BLOCKS = 12  # of the memory's slope


class Mix:
    """Requests: one job, new resumes mostly."""

    def __init__(self, words: int, fresh: float, seed: int):
        from resume_contrastive.documents import read_table

        sample = ROOT / "data" / "sample"
        self.rng, self.words, self.fresh = random.Random(seed), words, fresh
        resumes = read_table(sample / "resumes.csv", "resume")[0]
        self.lines = [x for d in resumes for t in d.sections.values() for x in t.split("\n") if x]
        self.titles = [d.title for d in resumes if d.title]
        self.job = read_table(sample / "jobs.csv", "job")[0][0].text
        self.known = [self.make() for _ in range(20)]
        self.alone: dict[str, float] = {}  # scores of the known ones, sent one by one

    def make(self) -> str:
        """A resume of so many words that was never sent; every fourth line stands under Skills."""
        lines, n = [], 0
        while n < self.words:
            lines.append(self.rng.choice(self.lines))
            n += len(lines[-1].split())
        cut = max(1, len(lines) // 4)
        lines[-1] = " ".join(lines[-1].split()[: -(n - self.words) or None])
        return "\n".join([f"{self.rng.choice(self.titles)}", "Skills", *lines[:cut], "Experience",
                          *lines[cut:]])  # fmt: skip

    def __call__(self) -> str:
        """The next resume."""
        return self.make() if self.rng.random() < self.fresh else self.rng.choice(self.known)


def start(args: argparse.Namespace) -> tuple[subprocess.Popen, str]:
    """The backend, ready."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = {**os.environ, "RESUME_API_PORT": str(port), "RESUME_API_KEEP": str(args.keep),
           "RESUME_API_TORCH_THREADS": str(args.cores), "RESUME_CONTRASTIVE_MODEL": args.model,
           "RESUME_API_BACKEND": args.backend}  # fmt: skip
    server = subprocess.Popen([sys.executable, str(ROOT / "examples" / "backend" / "app.py")],
                              env=env, stderr=subprocess.DEVNULL)  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    for _ in range(1200):
        try:
            if httpx.get(f"{url}/health/ready", trust_env=False, timeout=60).status_code == 200:
                return server, url
        except httpx.TransportError:
            pass
        if server.poll() is not None:
            break
        time.sleep(0.1)
    server.kill()
    raise SystemExit("the backend does not get ready; start it by hand to see its log")


def resident(pid: int) -> float:
    """MB in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def cpu(pid: int) -> float:
    """Seconds of CPU so far."""
    parts = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


async def phase(url: str, mix: Mix, clients: int, seconds: float, pid: int) -> dict:
    """So many clients for so long, each with one request at a time."""
    done: list[tuple[float, float]] = []  # when it ended, how long it took
    errors: dict[str, int] = {}
    memory: list[tuple[float, float]] = []
    off = 0.0
    begin, used = time.perf_counter(), cpu(pid)

    async def client(http: httpx.AsyncClient) -> None:
        nonlocal off
        while (sent := time.perf_counter()) - begin < seconds:
            resume = mix()
            try:
                answer = await http.post("/score", json={"resume": resume, "job": mix.job})
                answer.raise_for_status()
                score = answer.json()["score"]
            except (httpx.HTTPError, KeyError, ValueError) as e:
                status = getattr(getattr(e, "response", None), "status_code", "")
                name = f"{type(e).__name__} {status}".strip()
                errors[name] = errors.get(name, 0) + 1
                continue
            done.append((time.perf_counter() - begin, time.perf_counter() - sent))
            if resume in mix.alone:
                off = max(off, abs(score - mix.alone[resume]))

    async def watch() -> None:
        while time.perf_counter() - begin < seconds:
            memory.append((time.perf_counter() - begin, resident(pid)))
            await asyncio.sleep(1)

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits, trust_env=False) as http:
        await asyncio.gather(watch(), *(client(http) for _ in range(clients)))
    return {"done": done, "errors": errors, "memory": memory, "off": off,
            "cpu": cpu(pid) - used, "seconds": time.perf_counter() - begin}  # fmt: skip


def summary(*phases: dict) -> dict:
    """Numbers of one or more phases."""
    took = np.array([t for p in phases for _, t in p["done"]])
    n, seconds = len(took), sum(p["seconds"] for p in phases)
    p50, p95, p99 = np.quantile(took, [0.5, 0.95, 0.99]).tolist() if n else [float("nan")] * 3
    errors: dict[str, int] = {}
    for p in phases:
        for name, count in p["errors"].items():
            errors[name] = errors.get(name, 0) + count
    return {"requests": n, "errors": errors, "seconds": round(seconds, 1),
            "per_second": round(n / seconds, 2), "p50_ms": round(1000 * p50, 1),
            "p95_ms": round(1000 * p95, 1), "p99_ms": round(1000 * p99, 1),
            "cpu_ms_per_request": round(1000 * sum(p["cpu"] for p in phases) / max(n, 1), 1),
            "cores_busy": round(sum(p["cpu"] for p in phases) / seconds, 2)}  # fmt: skip


def slices(*phases: dict) -> np.ndarray:
    """Requests a second in slices of five seconds; a last one that isn't whole is left out."""
    rates = []
    for p in phases:
        ends = np.arange(0, max(p["seconds"] - 1e-9, SLICE) + 1e-9, SLICE)
        rates.append(np.histogram([t for t, _ in p["done"]], ends)[0] / SLICE)
    return np.concatenate(rates)


def ratio_interval(crowd: np.ndarray, alone: np.ndarray, seed: int) -> list[float]:
    """95 %, slices drawn with replacement."""
    rng = np.random.default_rng(seed)
    draws = [rng.choice(x, (2000, len(x))).mean(1) for x in (crowd, alone)]
    return [round(float(x), 2) for x in np.quantile(draws[0] / draws[1], [0.025, 0.975])]


def slope(memory: list[tuple[float, float]]) -> tuple[float, list[float]]:
    """MB a minute through the means of the blocks, and its 95 % interval."""
    from scipy.stats import linregress, t

    blocks = [b for b in np.array_split(np.array(memory), BLOCKS) if len(b)]
    x, y = np.array([b.mean(0) for b in blocks]).T
    fit = linregress(x / 60, y)
    half = float(t.ppf(0.975, max(len(blocks) - 2, 1))) * float(fit.stderr)
    middle = float(fit.slope)
    return round(middle, 3), [round(middle - half, 3), round(middle + half, 3)]


async def measure(args: argparse.Namespace, url: str, pid: int) -> dict:
    """All phases, in order."""
    mix = Mix(args.words, args.fresh, args.seed)
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http:
        for text in mix.known:  # the job and these are in the store from here on
            answer = await http.post("/score", json={"resume": text, "job": mix.job})
            mix.alone[text] = answer.raise_for_status().json()["score"]
    await phase(url, mix, args.clients, args.warm, pid)
    before = await phase(url, mix, 1, args.single / 2, pid)
    crowd = await phase(url, mix, args.clients, args.seconds, pid)
    after = await phase(url, mix, 1, args.single / 2, pid)
    per_minute, interval = slope(crowd["memory"])
    one, many = summary(before, after), summary(crowd)
    memory = [m for _, m in crowd["memory"]]
    return {
        "benchmark": "serving", "clients": args.clients,
        "ratio": round(many["per_second"] / one["per_second"], 2),
        "ratio_interval": ratio_interval(slices(crowd), slices(before, after), args.seed),
        "crowd": many, "one_at_a_time": one,
        "largest_difference": round(max(p["off"] for p in (before, crowd, after)), 6),
        "memory": {"mb_per_minute": per_minute, "interval": interval,
                   "first_mb": round(statistics.mean(memory[:5]), 1),
                   "last_mb": round(statistics.mean(memory[-5:]), 1),
                   "by_second_mb": [round(m, 1) for m in memory]},
    }  # fmt: skip


def main() -> int:
    """Command line."""
    from resume_contrastive.scorer import ZERO_SHOT
    from resume_contrastive.store import code_hash, hash_file, machine, versions, write_json

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--clients", type=int, default=64)
    p.add_argument("--seconds", type=float, default=120, help="of the crowd")
    p.add_argument("--single", type=float, default=60, help="seconds of one client, in two halves")
    p.add_argument("--warm", type=float, default=30, help="seconds of the crowd that don't count")
    p.add_argument("--cores", type=int, default=2, help="of server and clients together")
    p.add_argument("--model", default=ZERO_SHOT, help="folder of a model; zero-shot by default")
    p.add_argument("--backend", default="", help="torch, onnx or onnx-int8; the scorer's default")
    p.add_argument("--words", type=int, default=200, help="of a resume")
    p.add_argument("--fresh", type=float, default=0.8, help="share of resumes never sent before")
    p.add_argument("--keep", type=int, default=200, help="vectors that the server keeps")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", type=Path, help="JSON record to write; nothing is written without it")
    args = p.parse_args()
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < args.cores:
            p.error(f"{args.cores} cores are wanted, and {len(cores)} are here")
        os.sched_setaffinity(0, cores[: args.cores])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server must not be left behind
    load = os.getloadavg()[0]
    server, url = start(args)
    try:
        found = asyncio.run(measure(args, url, server.pid))
        health = httpx.get(f"{url}/health", trust_env=False).json()
    finally:
        server.terminate()
        server.wait(60)
    settings = {k: v for k, v in vars(args).items() if k not in ("out", "model")}
    record = {
        **found, "settings": settings, "model": health["model"], "model_hash": health["model_hash"],
        "load": [round(load, 1), round(os.getloadavg()[0], 1)], "seed": args.seed,
        "data_sha256": hash_file(ROOT / "data" / "sample" / "resumes.csv"), "code": code_hash(),
        "machine": machine(),
        "versions": versions("torch", "transformers", "tokenizers", "onnxruntime", "fastapi",
                             "uvicorn", "resume_contrastive"),
    }  # fmt: skip
    for name in ("one_at_a_time", "crowd"):
        print(name, record[name])
    memory = record["memory"]
    print(f"ratio {record['ratio']} {record['ratio_interval']}; memory {memory['mb_per_minute']} "
          f"{memory['interval']} MB a minute; load {record['load']}")  # fmt: skip
    if args.out:
        write_json(args.out, record)
    return 1 if record["crowd"]["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
