"""Memory and time of matching by role when the real data grows to 4 and 16 times its size.

    python benchmarks/roles.py --out data/results/roles.json    (RESUME_CONTRASTIVE_DATA is set)

Each copy of a title gets a word of its own, and its vector a little noise, so that no two copies
are one title: the worst case, since equal titles are compared once. Two rules: with occupations,
and by title alone, which leaves many more candidates. Every run has a process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NOISE = 0.3  # length of the noise beside a unit vector


def real_titles() -> dict[str, list[str]]:
    """The titles of both sides."""
    from resume_contrastive.documents import read_table

    folder = Path(os.environ["RESUME_CONTRASTIVE_DATA"]) / "kaggle"
    return {kind: [d.title for d in read_table(folder / name, kind)[0]]
            for kind, name in (("resume", "Resume.csv"), ("job", "training_data.csv"))}  # fmt: skip


def measure(scale: int, known: bool, cache: str, file: str) -> dict:
    """Match `scale` copies of the real titles; returns counts, seconds and MiB."""
    from resume_contrastive.documents import Document
    from resume_contrastive.encoder import EncoderConfig
    from resume_contrastive.occupations import read_occupations
    from resume_contrastive.pairs import Cosines, PairConfig, match_roles, normalise_title

    root = Path(os.environ["RESUME_CONTRASTIVE_DATA"])
    encoder = EncoderConfig().embedder(cache=cache)
    sides = []
    for kind, titles in json.loads(Path(file).read_text()).items():
        sides.append([Document(id=f"{n}-{k}", kind=kind, title=f"site{k} {t}" if t else "")
                      for k in range(scale) for n, t in enumerate(titles)])  # fmt: skip
    plain = sorted({normalise_title(d.title).partition(" ")[2] for s in sides for d in s} - {""})
    place, vectors = {t: n for n, t in enumerate(plain)}, encoder.embed(plain)

    def noisy(titles):
        rng, parts = np.random.default_rng(0), []
        for start in range(0, len(titles), 4096):
            x = vectors[[place.get(t.partition(" ")[2], 0) for t in titles[start:start + 4096]]]
            noise = rng.normal(size=x.shape).astype(np.float32)
            x = x + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
            parts.append(x / np.linalg.norm(x, axis=1, keepdims=True))
        return np.concatenate(parts)

    occupations = read_occupations(root / "onet") if known else None
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    match = match_roles(*sides, lambda a, b: Cosines(noisy(a), noisy(b)), occupations,
                        least=PairConfig().least(occupations))  # fmt: skip
    titles = match.titles.shape
    return {"scale": scale, "occupations": known, "resumes": len(sides[0]), "jobs": len(sides[1]),
            "titles": titles, "candidates": len(match.r),
            "cpu_seconds": round(time.process_time() - start, 1),
            "before_mb": round(before / 1024),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "one_dense_float32_mb": round(4 * len(sides[0]) * len(sides[1]) / 2**20)}  # fmt: skip


def main() -> None:
    """Measure each case in a fresh process, and write the record when asked to."""
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*json.loads(sys.argv[2]))))
        return
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--scale", type=int, nargs="*", default=[1, 4, 16], help="multiples of the data")
    p.add_argument("--cache", default="runs/embeddings", help="folder of title vectors")
    p.add_argument("--out", type=Path, help="JSON record to write; nothing is written without it")
    args = p.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "titles.json"
        file.write_text(json.dumps(real_titles()))
        for known in (True, False):
            for scale in args.scale:
                case = json.dumps([scale, known, args.cache, str(file)])
                command = [sys.executable, __file__, "--measure", case]
                run = subprocess.run(command, capture_output=True, text=True)
                if run.returncode:
                    sys.exit(f"failed: {run.stderr.strip().splitlines()[-1:]}")
                rows.append(json.loads(run.stdout.splitlines()[-1]))
                print(rows[-1], flush=True)
    if args.out:
        from resume_contrastive.store import machine, versions, write_json

        write_json(args.out, {"benchmark": "roles", "noise": NOISE, "rows": rows,
                              "threads": os.environ.get("OMP_NUM_THREADS", ""),
                              "machine": machine(), "versions": versions()})  # fmt: skip
        print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
