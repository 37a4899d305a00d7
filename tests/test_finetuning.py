"""Through the trunk: kills, a full disk, two processes, and what is frozen stays as it is."""

import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from resume_contrastive.documents import Document
from resume_contrastive.encoder import DualEncoder, EncoderConfig, encoder_score
from resume_contrastive.finetuning import TokenReader, backward, load_text_encoder, save_trunk
from resume_contrastive.sources import Source
from resume_contrastive.training import Objective, TrainConfig, TrainingError, train
from resume_contrastive.windows import Embedder, load_backbone

pytestmark = pytest.mark.usefixtures("one_thread")

SKILLS = "python sql nursing payroll welding sales french cooking".split()
LONG = 12  # epochs of the training that is killed
CONFIG = TrainConfig(
    trainable="full",
    epochs=4,
    batch_size=8,
    lr=2e-3,
    trunk_lr=1e-3,
    patience=20,
    dropout=0.1,
    average=0.5,
    learn_temperature=True,
    checkpoint_steps=2,
    micro_tokens=256,
    plain_tokens=500,
)


def write_tiny(folder):
    "A random BERT of two layers with MiniLM's tokenizer"
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    tokenizer, _ = load_backbone("minilm")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("tiny"))


def documents(n=32, seed=0):
    "Resume i and job i share their two skills, in other words around them"
    rng = random.Random(seed)
    sides = {"resume": [], "job": []}
    for i in range(n):
        skills = rng.sample(SKILLS, 2)
        for kind, filler in (("resume", "worked with people on"), ("job", "we are looking for")):
            text = f"{filler} {' and '.join(skills)} " * rng.randint(1, 3)
            names = ("summary", "skills") if kind == "resume" else ("about", "requirements")
            sections = dict(zip(names, (text, " ".join(skills)), strict=True))
            sides[kind].append(Document(id=f"{kind}{i}", kind=kind, sections=sections))
    return sides["resume"], sides["job"]


def make_training(backbone, **changes):
    embedder = Embedder(backbone, window=32)
    torch.manual_seed(0)
    heads = DualEncoder(16, EncoderConfig(dim=8, interaction="attention", merge="learned"))
    heads.start_from(torch.eye(16))
    config = TrainConfig(**{**vars(CONFIG), **changes})
    model = load_text_encoder(
        embedder,
        heads,
        trainable=config.trainable,
        dropout=config.dropout,
        micro_tokens=config.micro_tokens,
    )
    read = TokenReader(embedder)
    resumes, jobs = map(read, documents())
    n = len(resumes)
    hard = np.arange(n)[::-1, None].copy()
    source = Source(
        "toy",
        resumes,
        jobs,
        np.array([(i, i) for i in range(n)]),
        list(range(n)),
        list(range(n)),
        hard_resumes=hard,
        duel=0.5,
    )
    held = [read(side) for side in documents(12, seed=7)]

    def validate(model):
        s = model(held[0], "resume") @ model(held[1], "job").T
        return {"mrr": (1 / (1 + (s > s.diag()[:, None]).sum(1))).float().mean()}

    return model, source, config, validate


def run(backbone, folder, progress=None, **changes):
    model, source, config, validate = make_training(backbone, **changes)
    result = train(
        model, [source], config, folder, validate=validate, select="mrr", progress=progress
    )
    return result, {k: v.numpy().tobytes() for k, v in model.state_dict().items()}


@pytest.fixture(scope="module")
def whole(backbone, tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    result, weights = run(backbone, tmp_path_factory.mktemp("whole"))
    torch.set_num_threads(threads)
    return result, weights


# ---------------------------------------------------------------- stop and go on


def child(backbone, folder, started):
    "Train slowly, so that kills fall into steps, checkpoints and validations"
    import resume_contrastive.training as training

    torch.set_num_threads(1)
    step = training.Loop.step

    def slow(*args):
        started.set()
        time.sleep(0.03)
        return step(*args)

    training.Loop.step = slow
    run(backbone, folder, epochs=LONG)
    Path(folder, "finished").touch()


def test_twenty_kills_at_random_moments_change_no_bit(backbone, tmp_path):
    want = run(backbone, tmp_path / "whole", epochs=LONG)
    folder = tmp_path / "killed"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["accelerate", "transformers", "test_finetuning"])
    rng = random.Random()
    moments, reached = [], set()
    for _ in range(20):
        started = context.Event()
        process = context.Process(target=child, args=(backbone, str(folder), started))
        process.start()
        assert started.wait(120)
        moments.append(round(rng.uniform(0, 0.4), 3))
        process.join(moments[-1])
        process.kill()
        process.join()
        reached |= {p.name for p in folder.glob("checkpoints/epoch-*.safetensors")}
        if (folder / "finished").exists():
            break
    assert len(moments) >= 5 and len(reached) >= 3, (moments, reached)
    result, weights = run(backbone, folder, epochs=LONG)
    assert weights == want[1], moments
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in r.history[1:]]
            for r in (result, want[0])]
    assert rows[0] == rows[1], moments


def test_a_step_checkpoint_is_continued_inside_the_epoch(whole, backbone, tmp_path, monkeypatch):
    import resume_contrastive.training as training

    kept, steps = training.save_checkpoint, []

    def stop(folder, modules, optimizer, state):
        kept(folder, modules, optimizer, state)
        if (state["epoch"], state["step"]) == (1, 2):
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        run(backbone, tmp_path)
    monkeypatch.setattr(training, "save_checkpoint", kept)
    names = sorted(p.name for p in (tmp_path / "checkpoints").glob("epoch-*"))
    assert names == ["epoch-001.safetensors", "epoch-002-step-000002.safetensors"]
    step = training.Loop.step
    monkeypatch.setattr(
        training.Loop, "step", lambda s, b, e, i: steps.append((e, i)) or step(s, b, e, i)
    )
    result, weights = run(backbone, tmp_path)
    assert steps[0] == (2, 2) and weights == whole[1] and result.continued


def test_a_full_disk_is_one_sentence_and_costs_no_epoch(whole, backbone, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(epoch, epochs, row):
        if epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))

    try:
        with pytest.raises(TrainingError, match=r"could not be written .* continues from the"):
            run(backbone, tmp_path, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "checkpoints").glob("*.tmp*"))
    started = []
    result, weights = run(backbone, tmp_path, progress=lambda e, *_: started.append(e))
    assert started[0] == 3 and result.continued and weights == whole[1]


# ---------------------------------------------------------------- processes

SCRIPT = """
import os, sys, traceback
sys.path.insert(0, sys.argv[1])
try:
    import torch
    torch.set_num_threads(1)
    from test_finetuning import run
    options = dict(dropout=0.0, epochs=2, plain_tokens=int(sys.argv[4]), checkpoint_steps=0)
    from safetensors.torch import save_file
    import test_finetuning as t
    model, source, config, validate = t.make_training(sys.argv[2], **options)
    for module in model.heads.modules():  # each process draws its own dropout: none here
        if isinstance(module, (torch.nn.Dropout, torch.nn.MultiheadAttention)):
            setattr(module, "p" if isinstance(module, torch.nn.Dropout) else "dropout", 0.0)
    from resume_contrastive.training import train
    result = train(model.eval(), [source], config, sys.argv[3], validate=validate, select="mrr")
    import json
    rank = os.environ.get("RANK", "0")
    open(sys.argv[3] + f"/history-{rank}.json", "w").write(json.dumps(result.history))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
except BaseException:
    traceback.print_exc()
    os._exit(1)
os._exit(0)  # gloo's threads may outlive the interpreter and abort it
"""


@pytest.mark.parametrize("plain_tokens", [0, 10**9], ids=["cached", "plain"])
def test_two_processes_train_like_one(backbone, tmp_path, plain_tokens):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    histories, tensors = [], []
    for n in (1, 2):
        folder = tmp_path / str(n)
        folder.mkdir()
        # `accelerate launch --cpu --num_processes 2` starts one process; torchrun starts two
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone",
                  "--nproc_per_node", str(n)]
        done = subprocess.run(
            [*launch, str(script), str(Path(__file__).parent), backbone, str(folder),
             str(plain_tokens)],
            env=env, capture_output=True, text=True, timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert len(list(folder.glob("history-*.json"))) == n
        histories.append(json.loads((folder / "history-0.json").read_text()))
        from safetensors.numpy import load_file

        newest = sorted((folder / "checkpoints").glob("epoch-*"))[-1]
        tensors.append(load_file(newest))
    for one, two in zip(*histories, strict=True):
        assert one["mrr"] == pytest.approx(two["mrr"], abs=1e-4)
        if one["epoch"]:
            assert one["loss"] == pytest.approx(two["loss"], rel=1e-4)
    # All weights together: AdamW enlarges rounding where a gradient is next to nothing.
    one, two = (np.concatenate([t[k].ravel() for k in sorted(t) if k.startswith("model.")])
                for t in tensors)
    assert np.linalg.norm(one - two) <= 1e-3 * np.linalg.norm(one)


# ---------------------------------------------------------------- what learns


@pytest.mark.parametrize("trainable", ["head", "last-1", "full", "all"])
def test_what_is_frozen_stays_as_it_is(backbone, tmp_path, trainable):
    model, source, config, validate = make_training(
        backbone, trainable=trainable, epochs=1, average=0.0
    )
    before = {k: v.clone() for k, v in model.trunk.state_dict().items()}
    train(model, [source], config, tmp_path, validate=validate, select="mrr")
    from safetensors.numpy import load_file

    after = load_file(sorted((tmp_path / "checkpoints").glob("epoch-*"))[-1])
    moved = {k for k, v in before.items() if not np.array_equal(v, after[f"model.trunk.{k}"])}
    layers = {k.split(".layer.")[1][0] for k in moved if ".layer." in k}
    assert layers == {"head": set(), "last-1": {"1"}, "full": {"0", "1"}, "all": {"0", "1"}}[
        trainable
    ]
    assert any("word_embeddings" in k for k in moved) == (trainable == "all")


def test_frozen_windows_and_cached_vectors_give_the_same_step(backbone):
    model, source, config, _ = make_training(backbone, trainable="head", dropout=0.0)
    embedder = Embedder(backbone, window=32)
    resumes, jobs = documents()
    cached = Source("toy", embedder.fields(resumes), embedder.fields(jobs), source.pairs,
                    source.resume_groups, source.job_groups, hard_resumes=source.hard_resumes,
                    duel=source.duel)
    model.eval()
    objective, found = Objective(config), []
    for s in (source, cached):
        model.zero_grad()
        loss = backward(model, [s.batch(range(16))], lambda b: objective(model.heads, b[0]))
        found.append((loss, torch.cat([p.grad.flatten() for p in model.heads.parameters()
                                       if p.grad is not None])))
    assert found[0][0] == pytest.approx(float(found[1][0]), rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-6)


def test_a_saved_trunk_is_a_backbone_with_the_same_scores(backbone, tmp_path):
    model, source, config, validate = make_training(backbone, epochs=2, average=0.0)
    train(model, [source], config, tmp_path / "run", validate=validate, select="mrr")
    tuned = Embedder(save_trunk(model, tmp_path / "tuned"), window=32)
    resumes, jobs = documents(6, seed=3)
    read = TokenReader(tuned)
    with torch.inference_mode():
        want = model.eval()(read(resumes), "resume") @ model(read(jobs), "job").T
    got = encoder_score(tuned, model.heads)(resumes, jobs)
    np.testing.assert_allclose(got, want.numpy(), atol=1e-5)


def test_heads_alone_can_not_be_fine_tuned(tmp_path):
    from test_training import accuracy, toy

    with pytest.raises(ValueError, match="trainable='full' needs a TextEncoder"):
        train(DualEncoder(16, EncoderConfig(dim=4)), [toy()], TrainConfig(trainable="full"),
              tmp_path, validate=accuracy, select="mrr")
