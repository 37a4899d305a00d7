"""Time a training step beside sentence-transformers on the same base, pairs, batches and length.

    python benchmarks/training.py                                    # all parts, into data/results/
    python benchmarks/training.py --part speed --steps 4             # one part

*speed*: both train on the same batches of own-skills pairs, in turns, step by step; then both are
asked for nDCG@10 on held-out queries. The peer runs twice, as it comes (dropout .1) and without
dropout as we do. *head*: steps of the `head` preset on cached vectors, without and with the cost of
filling the cache. *memory*: peak of a batch of 512 with cached gradients, and of a plain batch of
32, each in a process of its own, above what the process held before the step.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from mining import peak_mb  # the file beside this one

WIDTH, LR, TAU = 256, 2e-5, 0.05


def own_skills(n: int, held: int) -> tuple[list, list, list]:
    """Training pairs (skills list, rest of the resume), each resume once, and held-out resumes."""
    from resume_contrastive.augmentation import own_skills_pairs
    from resume_contrastive.documents import read_table

    path = Path(os.environ["RESUME_CONTRASTIVE_DATA"], "kaggle", "Resume.csv")
    resumes, _ = read_table(path, "resume")
    order = np.random.default_rng(0).permutation(len(resumes))
    resumes = [resumes[i] for i in order]
    queries, bodies, pairs = own_skills_pairs(resumes[held:], draws=1, seed=0)
    sides = {q.id: q for q in queries}, {b.id: b for b in bodies}
    rows = [(sides[0][j], sides[1][r]) for r, j in zip(pairs.resume_id, pairs.job_id, strict=True)]
    return rows[:n], resumes[:held], resumes


def ours(rows: list, micro_tokens: int, plain_tokens: int = 10**9, window: int = WIDTH):
    """A loop, its source, and how documents are read; one window of the whole text."""
    from resume_contrastive.encoder import DualEncoder, EncoderConfig
    from resume_contrastive.finetuning import TokenReader, load_text_encoder
    from resume_contrastive.sources import Source
    from resume_contrastive.training import Loop, preset

    encoder = EncoderConfig(layout="flat", max_windows=1, window=window, dim=0, sides="shared")
    embedder = encoder.embedder()
    config = preset("full", trainable="all", trunk_lr=LR, temperature=TAU, warmup=0.0,
                    batch_size=32, micro_tokens=micro_tokens, plain_tokens=plain_tokens)
    model = load_text_encoder(embedder, DualEncoder(embedder.dim, encoder), trainable="all",
                              dropout=0.0, micro_tokens=micro_tokens)
    read, n = TokenReader(embedder), len(rows)
    source = Source("own-skills", read([b for _, b in rows]), read([q for q, _ in rows]),
                    np.array([(i, i) for i in range(n)]), list(range(n)), list(range(n)))
    return Loop(model, [source], config, Path(tempfile.mkdtemp())), read


class Peer:
    """sentence-transformers: model, loss both ways, AdamW; what its trainer does in a step."""

    def __init__(self, dropout: float | None):
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.losses import MultipleNegativesRankingLoss

        from resume_contrastive.windows import find_backbone

        options = {} if dropout is None else dict(config_kwargs=dict(
            hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout))
        self.model = SentenceTransformer(find_backbone("minilm"), device="cpu", **options)
        self.model.max_seq_length = WIDTH
        self.loss = MultipleNegativesRankingLoss(
            self.model, scale=1 / TAU, directions=("query_to_doc", "doc_to_query"),
            partition_mode="per_direction")
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LR, weight_decay=0.01)

    def step(self, rows: list) -> float:
        import torch

        self.model.train()
        columns = [self.model.preprocess([d.text for d in side])
                   for side in zip(*rows, strict=True)]
        self.optimizer.zero_grad()
        loss = self.loss(columns, None)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()


def ndcg(vectors, benchmark) -> float:
    """nDCG@10 of skills lists among the resumes of their category; `vectors` embeds documents."""
    from resume_contrastive.metrics import ndcg_at_k

    scores = vectors(list(benchmark.jobs)) @ vectors(list(benchmark.resumes)).T
    return float(np.nanmean(ndcg_at_k(scores, benchmark.gains.T)))


def speed(steps: int, batch: int, held: int, micro_tokens: int) -> dict:
    """Examples a second of both, and their nDCG afterwards."""
    import torch

    from resume_contrastive.benchmarks import own_skills_benchmark

    rows, resumes, _ = own_skills(steps * batch, held)
    loop, read = ours(rows, micro_tokens)
    loop.steps = steps
    peers = {"sentence-transformers": Peer(None), "sentence-transformers, no dropout": Peer(0.0)}
    seconds: dict[str, list] = {k: [] for k in ("ours", *peers)}
    losses: dict[str, list] = {k: [] for k in seconds}
    benchmark = own_skills_benchmark(resumes, draws=1)

    def by_us(documents):
        with torch.inference_mode():
            return loop.model.eval()(read(documents), "resume").numpy()

    asked = {"ours": by_us, **{k: lambda ds, p=p: p.model.encode(
        [d.text for d in ds], normalize_embeddings=True) for k, p in peers.items()}}
    before = {k: ndcg(f, benchmark) for k, f in asked.items()}
    for n in range(steps):
        chosen = list(range(n * batch, (n + 1) * batch))
        for name in (list(seconds) if n % 2 else list(seconds)[::-1]):
            start = time.perf_counter()
            if name == "ours":
                loop.model.train()
                losses[name].append(loop.step([chosen], 1, n)[0])
            else:
                losses[name].append(peers[name].step([rows[i] for i in chosen]))
            seconds[name].append(time.perf_counter() - start)
            print(f"step {n} {name}: {seconds[name][-1]:.1f} s", flush=True)
    after = {k: ndcg(f, benchmark) for k, f in asked.items()}
    rate = {k: batch / median(v[1:] or v) for k, v in seconds.items()}
    return {"batch": batch, "steps": steps, "tokens": WIDTH, "examples_per_second": rate,
            "ratio": {k: rate["ours"] / v for k, v in rate.items() if k != "ours"},
            "seconds": seconds, "losses": losses, "queries": len(benchmark.jobs),
            "ndcg_before": before, "ndcg_after": after}


def head(pairs: int, batch: int) -> dict:
    """Examples a second of the `head` preset: training alone, and with reading all windows once."""
    from resume_contrastive.encoder import DualEncoder, EncoderConfig
    from resume_contrastive.sources import Source
    from resume_contrastive.training import Loop, preset

    rows, _, _ = own_skills(pairs, 0)
    encoder = EncoderConfig()
    embedder = encoder.embedder()
    start = time.perf_counter()
    bodies, queries = (embedder.fields([r[i] for r in rows]) for i in (1, 0))
    reading, n = time.perf_counter() - start, len(rows)
    source = Source("own-skills", bodies, queries, np.array([(i, i) for i in range(n)]),
                    list(range(n)), list(range(n)))
    config = preset("head", batch_size=batch)
    loop = Loop(DualEncoder(embedder.dim, encoder), [source], config, Path(tempfile.mkdtemp()))
    times = []
    for step in range(60):
        chosen = [(step * batch + i) % n for i in range(batch)]
        start = time.perf_counter()
        loop.step([chosen], 1, step % loop.steps)
        times.append(time.perf_counter() - start)
    training = batch / median(times[5:])
    whole = config.epochs * n / (reading + config.epochs * n / training)
    return {"pairs": n, "batch": batch, "windows": embedder.encoded,
            "examples_per_second": training, "with_reading": whole, "epochs": config.epochs}


def memory(batch: int, plain_tokens: int, window: int) -> dict:
    """Peak of one step above what was held before it, MiB."""
    rows, _, _ = own_skills(batch, 0)
    loop, _ = ours(rows, 4096, plain_tokens, window)
    loop.model.train()
    before = peak_mb()
    loop.step([list(range(batch))], 1, 0)
    return {"batch": batch, "before_mb": before, "peak_mb": peak_mb(),
            "step_mb": peak_mb() - before}


def main() -> None:
    """Run the parts, each in a process of its own, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["speed", "head", "memory"])
    parser.add_argument("--only", choices=["speed", "head", "memory"], default="",
                        help="do one part again, and keep the others of the record")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--held", type=int, default=300, help="resumes asked afterwards")
    parser.add_argument("--micro-tokens", type=int, default=4096)
    parser.add_argument("--plain-tokens", type=int, default=10**9)
    parser.add_argument("--window", type=int, default=128, help="of the memory part")
    parser.add_argument("--pairs", type=int, default=256, help="of the head part")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("data/results/training.json"))
    args = parser.parse_args()
    if args.part:
        import torch

        torch.set_num_threads(args.threads)
        work = {"speed": lambda: speed(args.steps, args.batch, args.held, args.micro_tokens),
                "head": lambda: head(args.pairs, args.batch),
                "memory": lambda: memory(args.batch, args.plain_tokens, args.window)}
        print(json.dumps(work[args.part]()))
        return

    def part(name: str, **options: int) -> dict:
        flags = [x for k, v in options.items() for x in (f"--{k.replace('_', '-')}", str(v))]
        done = subprocess.run([sys.executable, __file__, "--part", name, "--threads",
                               str(args.threads), *flags], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        print(name, options, flush=True)
        return json.loads(done.stdout.splitlines()[-1])

    from resume_contrastive.store import machine, versions, write_json

    record = json.loads(args.out.read_text()) if args.only and args.out.exists() else {}
    if args.only in ("", "speed"):
        record["speed"] = part("speed", steps=args.steps, batch=args.batch, held=args.held,
                               micro_tokens=args.micro_tokens)
    if args.only in ("", "head"):
        record["head"] = part("head", pairs=args.pairs, batch=args.batch)
    if args.only in ("", "memory"):
        sizes = {"cached_512": part("memory", batch=512, plain_tokens=0, window=args.window),
                 "plain_32": part("memory", batch=32, window=args.window), "window": args.window}
        for name in ("peak", "step"):
            values = [sizes[k][f"{name}_mb"] for k in ("cached_512", "plain_32")]
            sizes[f"{name}_ratio"] = values[0] / values[1]
        record["memory"] = sizes
    peers = record["speed"]["examples_per_second"]
    record["head"]["ratio"] = {k: record["head"]["examples_per_second"] / v
                               for k, v in peers.items() if k != "ours"}
    write_json(args.out, {**record, "threads": args.threads, "machine": machine(),
                          "versions": versions()})


if __name__ == "__main__":
    main()
