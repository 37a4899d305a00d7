"""Training: a kill costs time and nothing else, the schedule is the formula, masks mean zero."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from resume_contrastive.dataset import Dataset
from resume_contrastive.documents import Document
from resume_contrastive.encoder import DualEncoder, EncoderConfig
from resume_contrastive.sources import Source, make_source, unique_batches
from resume_contrastive.training import Objective, TrainConfig, TrainingError, rate, train
from resume_contrastive.windows import FieldBatch

EPOCHS = 8


pytestmark = pytest.mark.usefixtures("one_thread")


def one_field(x):
    n = len(x)
    return FieldBatch(x[:, None], torch.ones(n, 1), torch.zeros(n, 1, dtype=torch.long))


def toy(n=120, d=16, seed=1, **options):
    "Four useful dimensions of sixteen; resume i belongs to job i"
    g = torch.Generator().manual_seed(seed)
    useful = torch.randn(n, 4, generator=g)
    sides = [
        F.normalize(
            torch.cat(
                [useful + 0.1 * torch.randn(n, 4, generator=g), torch.randn(n, d - 4, generator=g)],
                1,
            ),
            dim=1,
        )
        for _ in range(2)
    ]
    options = {
        "resume_groups": list(range(n)),
        "job_groups": list(range(n)),
        "pairs": np.array([(i, i) for i in range(n)]),
        **options,
    }
    return Source("toy", *map(one_field, sides), **options)


def accuracy(model):
    held = toy(40, seed=9)
    s = model(held.resumes, "resume") @ model(held.jobs, "job").T
    return {"mrr": (1 / (1 + (s > s.diag()[:, None]).sum(1))).mean()}


def toy_run(folder, pause=0.0, key=None, progress=None, validate=accuracy, **changes):
    torch.manual_seed(0)
    model = DualEncoder(16, EncoderConfig(dim=8, merge="learned", interaction="attention"))
    model.start_from(torch.eye(16))
    sources = [
        toy(),
        toy(
            80,
            seed=2,
            weight=0.3,
            hard_jobs=np.arange(80)[::-1, None].copy(),
            confidence=np.linspace(0.2, 1, 80),
        ),
    ]

    def slow(model):
        time.sleep(pause)
        return validate(model)

    config = TrainConfig(
        **{**dict(epochs=EPOCHS, batch_size=32, lr=0.01, patience=EPOCHS), **changes}
    )
    return train(
        model, sources, config, folder, validate=slow, select="mrr", key=key, progress=progress
    ), model


def loss_of(model, batch, **options):
    return Objective(TrainConfig(**{"temperature": 0.1, **options}))(model, batch)


def weights(model):
    return {k: v.numpy().tobytes() for k, v in model.state_dict().items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    result, model = toy_run(folder)
    return result, weights(model), folder


# ---------------------------------------------------------------- stop and go on


def test_three_kills_give_the_weights_of_the_uninterrupted_run(whole, tmp_path):
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import torch; torch.set_num_threads(1)\n"
        "from test_training import toy_run\n"
        "toy_run(sys.argv[2], pause=0.15, progress=lambda e, n, r: print(e, flush=True))"
    )
    reached = []
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(
            int(rng.integers(1, 3))
        ):  # one or two epochs end, then somewhere in the next
            epoch = int(child.stdout.readline())
        wait = rng.uniform(0, 0.25)
        time.sleep(wait)
        child.kill()
        child.communicate()
        reached.append((epoch, round(wait, 3)))
    assert reached[-1][0] < EPOCHS, reached
    result, model = toy_run(tmp_path)
    assert weights(model) == whole[1], reached
    assert [r["mrr"] for r in result.history] == [r["mrr"] for r in whole[0].history], reached
    assert [r["loss"] for r in result.history[1:]] == [r["loss"] for r in whole[0].history[1:]]


def test_training_learns_and_keeps_the_best_epoch(whole):
    result, _, folder = whole
    curve = [r["mrr"] for r in result.history]
    assert result.best == max(curve) > 1.5 * curve[0] and curve[result.best_epoch] == result.best
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [r["mrr"] for r in lines] == curve and lines[0]["loss"] is None
    points = sorted(p.name for p in (folder / "checkpoints").iterdir())
    assert points == [
        "best.safetensors",
        f"epoch-{EPOCHS - 1:03d}.safetensors",
        f"epoch-{EPOCHS:03d}.safetensors",
    ]


def test_a_finished_training_is_not_repeated(whole, tmp_path):
    toy_run(tmp_path, epochs=2)
    calls = []
    again, _ = toy_run(tmp_path, epochs=2, validate=lambda m: calls.append(1) or accuracy(m))
    assert again.continued and not calls


def stopped_after(folder, epoch, **options):
    def stop(n, epochs, row):
        if n == epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy_run(folder, progress=stop, **options)
    return folder / "checkpoints"


@pytest.mark.parametrize("damage", ["newest", "all", "best"])
def test_damaged_checkpoints_change_nothing(whole, tmp_path, damage):
    points = stopped_after(tmp_path, 3)
    for p in sorted(points.glob("epoch-*"))[-1 if damage == "newest" else 0 :]:
        if damage != "best":
            p.write_bytes(p.read_bytes()[:200])
    if damage == "best":
        (points / "best.safetensors").unlink()
    result, model = toy_run(tmp_path)
    assert weights(model) == whole[1] and result.best == whole[0].best
    assert result.continued == (damage == "newest")


def test_a_checkpoint_of_another_key_is_not_used(whole, tmp_path):
    stopped_after(tmp_path, 3, key="other data")
    result, model = toy_run(tmp_path)
    assert not result.continued and weights(model) == whole[1]


@pytest.mark.parametrize("change", [dict(lr=0.02), dict(seed=1), dict(epochs=EPOCHS + 1)])
def test_a_checkpoint_of_other_settings_is_not_used(tmp_path, change):
    stopped_after(tmp_path, 1)
    started = []
    with pytest.raises(KeyboardInterrupt):
        toy_run(tmp_path, **change, progress=lambda n, *_: started.append(n) or stop_now())
    assert started == [1]


def stop_now():
    raise KeyboardInterrupt


def test_early_stopping_waits_for_its_patience(tmp_path):
    figures = iter([0.1, 0.3, 0.2, 0.3, 0.25, 0.9])  # before, then epochs 1 to 5
    result, model = toy_run(tmp_path, patience=3, validate=lambda m: {"mrr": next(figures)})
    assert [r["epoch"] for r in result.history] == [0, 1, 2, 3, 4]
    assert (result.best_epoch, result.best) == (1, 0.3)  # an equal figure is no better one
    best = load_file(tmp_path / "checkpoints" / "best.safetensors")
    assert {k: v.tobytes() for k, v in best.items()} == weights(model)


def test_when_nothing_is_better_the_start_is_kept(tmp_path):
    result, model = toy_run(tmp_path, patience=1, validate=lambda m: {"mrr": 0.5})
    assert result.best_epoch == 0 and len(result.history) == 2
    start = DualEncoder(16, model.config).start_from(torch.eye(16))
    assert torch.equal(model.resume_head.project.weight, start.resume_head.project.weight)


def test_collapse_is_a_sentence(tmp_path):
    with pytest.raises(TrainingError, match="mrr is nan after epoch 0"):
        toy_run(tmp_path, validate=lambda m: {"mrr": float("nan")})


def test_pairs_that_fill_no_batch_are_a_sentence(tmp_path):
    one_job = toy(4, pairs=np.array([(i, 0) for i in range(4)]))
    with pytest.raises((ValueError, TrainingError)):
        train(
            DualEncoder(16, EncoderConfig(dim=4)),
            [one_job],
            TrainConfig(),
            tmp_path,
            validate=accuracy,
            select="mrr",
        )


# ---------------------------------------------------------------- schedule


def test_the_rate_by_hand():
    assert [rate(s, 10, 0.2) for s in range(10)] == pytest.approx(
        [0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    )
    assert [rate(s, 3, 0) for s in range(3)] == [1, 1, 0.5]
    assert rate(0, 1, 0.5) == 1


@given(st.integers(1, 500), st.floats(0, 0.99))
def test_the_rate_rises_to_one_and_falls(steps, warmup):
    rates = [rate(s, steps, warmup) for s in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == 1 and min(rates) > 0
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:])[::-1]


# ---------------------------------------------------------------- batches and losses


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6)), min_size=2, max_size=40, unique=True),
    st.integers(2, 8),
    st.integers(0, 3),
)
def test_batches_repeat_no_group_and_drop_no_pair_that_fits(pairs, size, epoch):
    source = toy(10, pairs=np.array(pairs), resume_groups=[i // 2 for i in range(10)])
    batches = unique_batches(source, size, 0, epoch)
    used = [k for b in batches for k in b]
    assert len(used) == len(set(used)) and all(2 <= len(b) <= size for b in batches)
    for b in batches:
        assert len({pairs[k][0] // 2 for k in b}) == len({pairs[k][1] for k in b}) == len(b)
    left = [k for k in range(len(pairs)) if k not in used]  # batches of one
    for a in left:
        for b in left:
            assert a == b or pairs[a][0] // 2 == pairs[b][0] // 2 or pairs[a][1] == pairs[b][1]


def test_an_absent_hard_negative_has_no_gradient_and_no_effect():
    hard = np.array([[n, -1] for n in (3, 4, 5, 0)])
    source = toy(8, pairs=np.array([(i, i) for i in range(4)]), hard_resumes=hard)
    source.resumes.vectors.requires_grad_(True)
    model = DualEncoder(16, EncoderConfig(dim=0))
    batch = source.batch([0, 1])
    fields, absent, _ = batch["hard_resumes"]
    assert absent.tolist() == [[False, True], [False, True]]
    fields.vectors.retain_grad()
    loss = loss_of(model, batch)
    loss.backward()
    grad = fields.vectors.grad[:, 0].norm(dim=1)
    assert (grad[[0, 2]] > 0).all() and (grad[[1, 3]] == 0).all()
    plain = toy(8, pairs=source.pairs, hard_resumes=hard[:, :1])
    assert loss_of(model, plain.batch([0, 1])).item() == pytest.approx(
        loss.item(), abs=1e-6
    )
    without = toy(8, pairs=source.pairs)
    assert loss_of(model, without.batch([0, 1])).item() < loss.item()


def test_the_loss_with_hard_negatives_both_ways_by_hand():
    source = toy(
        6,
        pairs=np.array([(0, 0), (1, 1)]),
        hard_jobs=np.array([[2], [3]]),
        hard_resumes=np.array([[4], [-1]]),
    )
    model = DualEncoder(16, EncoderConfig(dim=0))
    r, j = source.resumes.vectors[:, 0], source.jobs.vectors[:, 0]
    s = r @ j.T / 0.1
    there = [torch.logsumexp(s[i, [0, 1, 2 + i]], 0) - s[i, i] for i in (0, 1)]
    back = [
        torch.logsumexp(s[[0, 1, 4], 0], 0) - s[0, 0],
        torch.logsumexp(s[[0, 1], 1], 0) - s[1, 1],
    ]
    want = (sum(there) / 2 + sum(back) / 2) / 2
    assert loss_of(model, source.batch([0, 1])).item() == pytest.approx(
        want.item(), rel=1e-4
    )


def test_known_pairs_and_groups_are_no_negatives():
    # resume 0 also fits job 1; resumes 0 and 2 are copies of one another
    source = toy(
        4, pairs=np.array([(0, 0), (1, 1), (2, 2), (0, 1)]), resume_groups=["a", "b", "a", "c"]
    )
    mask = source.batch([0, 1, 2])["mask"]
    assert mask.tolist() == [[False, True, True], [False, False, False], [True, True, False]]


def test_confidence_weighs_the_pairs():
    sure = toy(6, confidence=np.ones(6))
    first = toy(6, confidence=np.array([1.0, 0, 0, 0, 0, 0]))
    model = DualEncoder(16, EncoderConfig(dim=0))
    s = sure.resumes.vectors[:, 0] @ sure.jobs.vectors[:, 0].T / 0.1
    want = (s[0].logsumexp(0) + s[:, 0].logsumexp(0)) / 2 - s[0, 0]
    rows = list(range(6))
    assert loss_of(model, first.batch(rows)).item() == pytest.approx(want.item(), rel=1e-4)
    assert loss_of(model, sure.batch(rows)).item() == pytest.approx(
        loss_of(model, toy(6).batch(rows)).item(), rel=1e-5
    )


def test_a_source_from_a_data_set_takes_one_split_and_groups_by_origin():
    docs = [
        {d.id: d for d in (Document(id=i, kind=kind) for i in names)}
        for kind, names in (("resume", ("a", "b", "a~eda1")), ("job", ("x", "y")))
    ]
    pairs = pd.DataFrame(
        [
            ("a", "x", "role", 0.5, "train"),
            ("a~eda1", "x", "eda", 0.25, "train"),
            ("b", "y", "role", 1, "train"),
            ("b", "x", "role", 1, "test"),
            ("b", "y", "own-skills", 1, "train"),
        ],
        columns=["resume_id", "job_id", "kind", "label", "split"],
    )
    data = Dataset(*docs, pairs, {}, {})
    source, resume_ids, job_ids = make_source(
        "role", ("role", "eda"), data, lambda ds: one_field(torch.zeros(len(ds), 4)), weight=0.3
    )
    assert (resume_ids, job_ids) == (["a", "a~eda1", "b"], ["x", "y"])
    assert source.pairs.tolist() == [[0, 0], [1, 0], [2, 1]]
    assert source.resume_groups == ["a", "a", "b"] and source.weight == 0.3
    assert source.confidence.tolist() == [0.5, 0.25, 1]
    with pytest.raises(ValueError, match="source 'none' needs at least 2 pairs, got 0"):
        make_source(
            "none", ("synthetic",), data, lambda ds: one_field(torch.zeros(len(ds), 4)), weight=1
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(epochs=0), "epochs must be >= 1"),
        (dict(patience=0), "patience must be >= 1"),
        (dict(lr=0), "lr must be > 0"),
        (dict(lr=float("nan")), "lr must be > 0, got nan"),
        (dict(warmup=1), "warmup must be in"),
        (dict(clip=-1), "clip must be > 0"),
    ],
)
def test_config_says_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)
