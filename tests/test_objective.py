"""The objective's parts, by hand: shared negatives, guide, grades, duel, distillation, groups."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_training import loss_of, one_field, toy

from resume_contrastive.checkpoints import TrainingError
from resume_contrastive.encoder import DualEncoder, EncoderConfig
from resume_contrastive.sources import Source
from resume_contrastive.training import (
    Loop,
    Objective,
    TrainConfig,
    parameter_groups,
    preset,
    train,
)

pytestmark = pytest.mark.usefixtures("one_thread")
IDENTITY = DualEncoder(16, EncoderConfig(dim=0))


def scores(source, tau=0.1):
    return source.resumes.vectors[:, 0] @ source.jobs.vectors[:, 0].T / tau


def cross_entropy(rows):
    "Mean over rows of logsumexp minus the first entry; each row is a list of scores"
    return sum(torch.logsumexp(torch.stack(r), 0) - r[0] for r in rows) / len(rows)


def test_shared_hard_negatives_serve_every_row():
    pairs = np.array([(0, 0), (1, 1)])
    source = toy(6, pairs=pairs, hard_jobs=np.array([[2], [3]]))
    s = scores(source)
    there = cross_entropy([[s[0, 0], s[0, 1], s[0, 2], s[0, 3]],
                           [s[1, 1], s[1, 0], s[1, 2], s[1, 3]]])
    back = cross_entropy([[s[0, 0], s[1, 0]], [s[1, 1], s[0, 1]]])
    got = loss_of(IDENTITY, source.batch([0, 1]), shared_hard=True)
    assert got.item() == pytest.approx(((there + back) / 2).item(), rel=1e-4)


def test_a_shared_hard_negative_that_fits_another_row_is_left_out_there():
    pairs = np.array([(0, 0), (1, 1), (1, 2)])
    source = toy(6, pairs=pairs, hard_jobs=np.array([[2], [3], [3]]))
    s = scores(source)
    there = cross_entropy([[s[0, 0], s[0, 1], s[0, 2], s[0, 3]],
                           [s[1, 1], s[1, 0], s[1, 3]]])  # job 2 fits resume 1
    back = cross_entropy([[s[0, 0], s[1, 0]], [s[1, 1], s[0, 1]]])
    got = loss_of(IDENTITY, source.batch([0, 1]), shared_hard=True)
    assert got.item() == pytest.approx(((there + back) / 2).item(), rel=1e-4)


def test_without_masks_a_known_fit_is_a_negative():
    source = toy(4, pairs=np.array([(0, 0), (1, 1), (0, 1)]))
    s = scores(source)
    plain = (cross_entropy([[s[0, 0], s[0, 1]], [s[1, 1], s[1, 0]]])
             + cross_entropy([[s[0, 0], s[1, 0]], [s[1, 1], s[0, 1]]])) / 2
    masked = (cross_entropy([[s[0, 0]], [s[1, 1], s[1, 0]]])
              + cross_entropy([[s[0, 0], s[1, 0]], [s[1, 1]]])) / 2
    batch = source.batch([0, 1])
    assert loss_of(IDENTITY, batch, masks=False).item() == pytest.approx(plain.item(), rel=1e-4)
    # rows left without a negative are skipped, so the sums are over one row each
    assert loss_of(IDENTITY, batch).item() == pytest.approx(2 * masked.item(), rel=1e-4)


def test_grades_make_known_fits_positives():
    source = toy(4, pairs=np.array([(0, 0), (1, 1), (2, 2), (0, 1)]),
                 confidence=np.array([1.0, 1.0, 1.0, 0.5]))
    batch = source.batch([0, 1, 2])
    assert batch["grades"][0].tolist() == [1.0, 0.5, 0.0]
    plain, graded = (loss_of(IDENTITY, batch, graded=g).item() for g in (False, True))
    assert plain != pytest.approx(graded, rel=1e-3)


def test_the_guide_leaves_out_what_it_finds_as_fitting():
    source = toy(4)
    batch = source.batch([0, 1, 2])
    batch["guide"] = torch.tensor([[1.0, 0.9, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]])
    s = scores(source)
    doubtful = torch.zeros(3, 3, dtype=torch.bool)
    doubtful[0, 1] = True  # .9 is above 1 - .2
    x = s[:3, :3].masked_fill(doubtful, -1e9)
    want = ((x.logsumexp(1) + x.logsumexp(0)) / 2 - x.diag()).mean()
    got = loss_of(IDENTITY, batch, guide_margin=0.2)
    assert got.item() == pytest.approx(want.item(), rel=1e-4)


def test_a_guide_that_is_missing_is_one_sentence():
    source = toy(4)
    batch = {k: v for k, v in source.batch([0, 1]).items() if k != "guide"}
    for options in (dict(guide_margin=0.0), dict(distill=1.0)):
        with pytest.raises(ValueError, match="need the guide's vectors"):
            loss_of(IDENTITY, batch, **options)


def test_a_duel_adds_the_worse_twin_alone():
    pairs = np.array([(0, 0), (1, 1)])
    hard = np.array([[4], [-1]])
    with_, without = (toy(6, pairs=pairs, hard_resumes=hard, duel=d) for d in (2.0, 0.0))
    s = scores(with_)
    want = 2 * F.softplus(s[4, 0] - s[0, 0])  # the second pair has no twin
    got = loss_of(IDENTITY, with_.batch([0, 1])) - loss_of(IDENTITY, without.batch([0, 1]))
    assert got.item() == pytest.approx(want.item(), rel=1e-3)


def test_distillation_is_nothing_at_the_start_and_pulls_back_afterwards():
    source = toy(16)
    batch = source.batch(range(16))
    assert loss_of(IDENTITY, batch, distill=5.0).item() == pytest.approx(
        loss_of(IDENTITY, batch).item(), rel=1e-5)
    torch.manual_seed(0)
    moved = DualEncoder(16, EncoderConfig(dim=4))
    assert loss_of(moved, batch, distill=5.0) > loss_of(moved, batch) + 0.1


def test_matryoshka_is_the_mean_over_prefixes():
    source, model = toy(8), DualEncoder(16, EncoderConfig(dim=8, similarity="dot"))
    batch = source.batch(range(8))
    r, j = model(batch["resumes"], "resume"), model(batch["jobs"], "job")
    parts = []
    for n in (8, 4):
        s = r[:, :n] @ j[:, :n].T / 0.1
        parts.append(((s.logsumexp(1) + s.logsumexp(0)) / 2 - s.diag()).mean())
    got = loss_of(model, batch, matryoshka=(8, 4))
    assert got.item() == pytest.approx(sum(parts).item() / 2, rel=1e-4)


def test_a_learned_temperature_stays_in_its_bounds():
    objective = Objective(TrainConfig(learn_temperature=True, temperature=0.5))
    assert objective.temperature.item() == pytest.approx(0.5)
    for value, bound in ((-9.0, 0.01), (3.0, 1.0)):
        objective.log_temperature.data.fill_(value)
        assert objective.temperature.item() == pytest.approx(bound)


def test_an_absent_hard_negative_reads_no_further_document():
    class Log:
        "Documents that remember who asked"
        def __init__(self, n):
            self.asked, self.n = [], n

        def __len__(self):
            return self.n

        def __getitem__(self, rows):
            self.asked += [int(i) for i in np.atleast_1d(rows)]
            return self

    resumes, jobs = Log(6), Log(6)
    source = Source("log", resumes, jobs, np.array([(3, 3), (4, 4)]), range(6), range(6),
                    hard_resumes=np.array([[-1], [5]]))
    source.batch([0, 1])
    assert sorted(set(resumes.asked)) == [3, 4, 5] and 0 not in jobs.asked


def test_groups_of_parameters_have_their_rates_and_no_decay_of_vectors():
    model = DualEncoder(16, EncoderConfig(dim=4, interaction="attention", merge="learned"))
    config = preset("head", learn_temperature=True)
    groups = parameter_groups(model, Objective(config), config)
    assert {g["base"] for g in groups} == {config.lr}
    for g in groups:
        assert all((p.ndim > 1) == (g["weight_decay"] > 0) for p in g["params"])
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters())) + 1


def run(folder, validate, model=None, **options):
    model = model or DualEncoder(16, EncoderConfig(dim=8)).start_from(torch.eye(16))
    config = TrainConfig(**{**dict(epochs=2, batch_size=32, lr=0.01), **options})
    return train(model, [toy()], config, folder, validate=validate, select="x"), model


def test_collapse_and_a_gradient_that_is_no_number_stop_with_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(TrainingError, match="all vectors lie at one point"):
        run(tmp_path / "a", lambda m: {"x": 1.0, "uniformity": -0.001})
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *a: torch.tensor(float("inf")))
    with pytest.raises(TrainingError, match="the gradient is inf at step 0 of epoch 1"):
        run(tmp_path / "b", lambda m: {"x": 1.0})


def test_averaged_weights_lie_between_start_and_end(tmp_path):
    from safetensors.numpy import load_file

    ends = {}
    for average in (0.0, 0.5, 0.999):
        folder = tmp_path / str(average)
        counter = iter(range(10))
        _, model = run(folder, lambda m, c=counter: {"x": float(next(c))}, average=average)
        start = DualEncoder(16, EncoderConfig(dim=8)).start_from(torch.eye(16))
        ends[average] = float((model.resume_head.project.weight
                               - start.resume_head.project.weight).norm())
        newest = sorted((folder / "checkpoints").glob("epoch-*"))[-1]
        assert any(k.startswith("average.") for k in load_file(newest)) == bool(average)
    assert 0 < ends[0.999] < ends[0.5] < ends[0.0]


def test_a_tracker_gets_every_epoch(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    counter = iter(range(10))
    run(tmp_path, lambda m: {"x": float(next(counter))}, track="tensorboard")
    events = EventAccumulator(str(tmp_path / "training")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("x")] == [(1, 1.0), (2, 2.0)]
    assert {"loss", "grad_norm", "temperature"} <= set(events.Tags()["scalars"])


def test_bf16_needs_a_gpu(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="precision 'bf16' needs a GPU"):
        run(tmp_path, lambda m: {"x": 1.0}, precision="bf16")


@pytest.mark.parametrize("change, message", [
    (dict(average=1.0), "average must be in"),
    (dict(dropout=-0.1), "dropout must be in"),
    (dict(distill=-1.0), "distill must be >= 0, got -1.0"),
    (dict(micro_tokens=0), "micro_tokens must be >= 1, got 0"),
    (dict(trunk_lr=0.0), "trunk_lr must be > 0"),
    (dict(precision="fp8"), "precision must be 'fp32' or 'bf16', got 'fp8'"),
])
def test_settings_say_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)


def test_a_loop_in_one_process_uses_every_row(tmp_path):
    model = DualEncoder(16, EncoderConfig(dim=4))
    assert Loop(model, [toy(10)], TrainConfig(batch_size=4), tmp_path).steps == 3
    with pytest.raises(ValueError, match="there is nothing to train"):
        Loop(IDENTITY, [toy(10)], TrainConfig(), tmp_path)


def test_one_field_helper_keeps_vectors():
    x = torch.eye(3)
    assert torch.equal(one_field(x).mean(), x)
