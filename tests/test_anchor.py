"""Heads near the zero-shot geometry: between two models, side by side, folded, and bounded."""

import json
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from resume_contrastive.anchor import concatenated, folded, furthest, interpolated
from resume_contrastive.encoder import DualEncoder, EncoderConfig, load_dual_encoder
from resume_contrastive.training import Objective, TrainConfig, parameter_groups
from resume_contrastive.windows import FieldBatch

D = 16


def documents(n=12, seed=0):
    """Documents of one field each, as unit vectors."""
    x = F.normalize(torch.randn(n, D, generator=torch.Generator().manual_seed(seed)), dim=1)
    return x, FieldBatch(x[:, None], torch.ones(n, 1), torch.zeros(n, 1, dtype=torch.long))


def pair(seed=0, **options):
    """A model at its start, and one that has moved."""
    torch.manual_seed(seed)
    config = EncoderConfig(**{"dim": 8, **options})
    start = DualEncoder(D, config).start_from(documents(40, 9)[0]).eval()
    end = DualEncoder(D, config).eval()
    end.load_state_dict(start.state_dict())
    with torch.no_grad():
        for p in end.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return start, end


@torch.inference_mode()
def scores(model, batch):
    """All similarities of resumes and jobs."""
    return model(batch, "resume") @ model(batch, "job").T


@pytest.mark.parametrize("options", [{}, dict(sides="separate", merge="learned"),
                                     dict(interaction="attention", dim=0), dict(residual=0.5)])
def test_interpolated_weights_by_brute_force(options):
    start, end = pair(**options)
    for alpha in (0, 0.25, 1):
        made = interpolated(start, end, alpha)
        for k, w in made.state_dict().items():
            a, b = start.state_dict()[k].double(), end.state_dict()[k].double()
            assert torch.allclose(w.double(), a + alpha * (b - a), atol=1e-6)
        assert made.config == start.config and not made.training
    batch = documents()[1]
    assert torch.equal(scores(interpolated(start, end, 0), batch), scores(start, batch))
    assert torch.equal(scores(interpolated(start, end, 1), batch), scores(end, batch))


def test_neither_given_model_is_changed():
    start, end = pair()
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in (start, end)]
    made = interpolated(start, end, 0.5), folded(start, end, 0.5, documents(40, 9)[0])
    for m in made:
        m.resume_head.project.weight.data.zero_()
    for m, state in zip((start, end), before, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in m.state_dict().items())


def test_models_of_two_kinds_have_nothing_in_between():
    start = pair()[0]
    other = pair(dim=4)[1]
    for make in (lambda: interpolated(start, other, 0.5),
                 lambda: folded(start, other, 0.5, documents()[0])):
        with pytest.raises(ValueError, match="one width and one configuration"):
            make()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_lie_between_0_and_1(share):
    start, end = pair()
    x = documents()[0]
    with pytest.raises(ValueError, match="alpha must be in"):
        interpolated(start, end, share)
    with pytest.raises(ValueError, match="weight must be in"):
        concatenated(x, x, share)
    with pytest.raises(ValueError, match="weight must be in"):
        folded(start, end, share, x)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1), st.integers(0, 1000))
def test_a_concatenation_scores_as_the_mix_of_both_cosines(weight, seed):
    a, b = (documents(6, seed + s)[0].double() for s in (0, 1))
    b = F.normalize(b[:, :5], dim=1)
    made = concatenated(a, b, weight)
    mixed = (1 - weight) * a @ a.T + weight * b @ b.T
    assert made.shape == (6, D + 5) and torch.allclose(made @ made.T, mixed, atol=1e-12)
    assert torch.allclose(made.norm(dim=1), torch.ones(6).double())
    same = concatenated(a.numpy(), b.numpy(), weight)
    assert isinstance(same, np.ndarray) and np.allclose(same, made.numpy())


def test_a_concatenation_needs_the_same_documents():
    with pytest.raises(ValueError, match="got 12 and 3"):
        concatenated(documents()[0], documents(3)[0], 0.5)


def test_folding_keeps_the_ends():
    start, end = pair()
    seen, batch = documents(40, 9)[0], documents()[1]
    for weight, model in ((0, start), (1, end)):
        found = folded(start, end, weight, seen)
        assert torch.allclose(scores(found, batch), scores(model, batch), atol=1e-5)
        assert found.config == start.config


def test_folding_without_a_cut_is_the_sum_of_both_forms():
    start, end = pair(dim=D)  # two of 16 have rank 16 at most: nothing is cut
    seen, (x, batch) = documents(40, 9)[0], documents()
    form = 0
    for model, share in ((start, 0.3), (end, 0.7)):
        w = model.resume_head.project.weight.detach().double()
        size = np.mean([float((w @ v).square().sum()) for v in seen.double()])
        form = form + share / size * w.T @ w
    y = x.double()
    lengths = torch.stack([v @ form @ v for v in y]).sqrt()
    slow = (y @ form @ y.T) / lengths[:, None] / lengths[None]
    assert torch.allclose(scores(folded(start, end, 0.7, seen), batch).double(), slow, atol=1e-5)


def test_a_folded_model_is_an_ordinary_one(tmp_path):
    start, end = pair()
    made = folded(start, end, 0.5, documents(40, 9)[0])
    made.save(tmp_path)
    batch = documents()[1]
    assert torch.equal(scores(load_dual_encoder(tmp_path), batch), scores(made, batch))
    assert set(load_file(tmp_path / "model.safetensors")) == {"resume_head.project.weight"}


@pytest.mark.parametrize("options", [dict(sides="separate"), dict(merge="learned"), dict(dim=0),
                                     dict(residual=0.5), dict(interaction="attention")])
def test_only_a_plain_projection_can_be_folded(options):
    with pytest.raises(ValueError, match="a projection and nothing more"):
        folded(*pair(**options), 0.5, documents()[0])


def test_the_furthest_safe_setting_by_hand():
    low = {0.0: 0.0, 0.25: 0.004, 0.5: -0.01, 0.75: -0.011, 1.0: -0.03}
    assert furthest(low, 0.01) == 0.5 and furthest(low, 0.02) == 0.75 and furthest(low, 0) == 0.25
    assert furthest({0.5: -1.0}, 0.01) == 0 and furthest({}, 0) == 0
    assert furthest({0.0: 0.0, 0.5: float("nan")}, 0.01) == 0
    with pytest.raises(ValueError, match="margin must be >= 0, got -1"):
        furthest(low, -1)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 0.99), st.integers(0, 1000), st.floats(0, 1e4), st.sampled_from([0, 8]))
def test_a_residual_head_never_leaves_its_cone(residual, seed, size, dim):
    torch.manual_seed(seed)
    model = DualEncoder(D, EncoderConfig(dim=dim, residual=residual)).eval()
    batch = documents(8, seed)[1]
    start = model(batch, "resume").detach()
    with torch.no_grad():
        model.resume_head.added.weight.copy_(size * torch.randn(dim or D, D))
        moved = model(batch, "resume")
    assert torch.allclose(moved.norm(dim=1), torch.ones(8), atol=1e-5)
    assert (start * moved).sum(1).min() >= (1 - residual**2) ** 0.5 - 1e-5


def test_a_residual_head_starts_as_the_default_does():
    plain, bold = pair()[0], pair(residual=0.5)[0]
    batch = documents()[1]
    assert torch.allclose(scores(plain, batch), scores(bold, batch), atol=1e-6)


def test_only_what_is_added_learns():
    model = DualEncoder(D, EncoderConfig(dim=8, residual=0.5))
    kept = model.resume_head.project.weight.clone()
    config = TrainConfig(lr=0.1)
    groups = parameter_groups(model, Objective(config), config)
    assert [p is model.resume_head.added.weight for g in groups for p in g["params"]] == [True]
    r, j = documents()[1], documents(seed=1)[1]
    optimizer = torch.optim.AdamW(groups)
    for _ in range(5):
        loss = -(model(r, "resume") * model(j, "job")).sum()
        optimizer.zero_grad()
        loss.backward()
        assert model.resume_head.added.weight.grad.isfinite().all()  # at 0 as well
        optimizer.step()
    assert torch.equal(model.resume_head.project.weight, kept)
    assert model.resume_head.added.weight.abs().sum() > 0
    assert -(model(r, "resume") * model(j, "job")).sum() < loss


def test_an_empty_document_is_zero_for_a_residual_head():
    model = pair(residual=0.5)[1]
    empty = FieldBatch(torch.zeros(1, 1, D), torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.long))
    assert model(empty, "resume").abs().sum() == 0


@pytest.mark.parametrize("sides", ["shared", "separate"])
def test_a_residual_head_is_saved_whole(tmp_path, sides):
    end = pair(residual=0.25, sides=sides)[1]
    end.save(tmp_path)
    batch = documents()[1]
    assert torch.equal(scores(load_dual_encoder(tmp_path), batch), scores(end, batch))


def test_the_default_has_no_residual_and_older_folders_are_read(tmp_path):
    start = pair()[0]
    start.save(tmp_path)
    assert set(load_file(tmp_path / "model.safetensors")) == {"resume_head.project.weight"}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["encoder"].pop("residual") == 0
    (tmp_path / "config.json").write_text(json.dumps(config))
    again, batch = load_dual_encoder(tmp_path), documents()[1]
    assert again.config == start.config and torch.equal(scores(again, batch), scores(start, batch))


@pytest.mark.parametrize("value", [-0.1, 1, 2.5])
def test_a_residual_is_below_1(value):
    with pytest.raises(ValueError, match=r"residual must be in \[0, 1\), got"):
        EncoderConfig(residual=value)


@pytest.fixture(scope="module")
def record(root):
    """What was measured on the real data."""
    return json.loads((root / "data" / "results" / "anchor.json").read_text())


def test_the_record_starts_and_ends_where_the_cross_validation_does(root, record):
    cross = json.loads((root / "data" / "results" / "crossvalidation.json").read_text())
    assert record["data_hash"] == cross["data_hash"] and record["cuts"] == cross["cuts"] == 5
    names = {"role, resume to job": "role, resume to job, titles hidden, nDCG@10",
             "role, job to resume": "role, job to resume, titles hidden, nDCG@10",
             "own skills": "own skills, AUC", "triples": "counterfactual triples",
             "rjdb": "triples of rjdb"}
    for row in record["rows"]:
        if row["family"] in ("zero-shot", "default"):
            other = next(r for r in cross["rows"] if r["system"] == row["family"]
                         and r["figure"] == names[row["figure"]])
            assert (row["n"], row["documents"]) == (other["n"], other["documents"])
            eps = 1e-6 if row["family"] == "default" else 0.01  # its projection saw no triples
            assert abs(row["mean"] - other["mean"]) < eps


def test_the_records_choice_follows_its_rule(record):
    for choice in (record["choice"], record["choice_on_halves"]):
        for family, found in choice.items():
            low = {float(s): d["low"] for s, d in found["rjdb"].items()}
            assert found["chosen"] == furthest(low, record["rule"]["margin"]), family
            check = {f: d["minus_zero_shot"]["low"] for f, d in found["check"].items()}
            assert found["safe"] == (check["rjdb"] >= -record["rule"]["margin"])
            assert found["gains"] == all(check[f] > 0 for f in record["rule"]["gains"])


def test_the_rule_on_planted_answers(root, monkeypatch):
    """A family whose damage starts at .5, in 60 triples and 40 queries of each cut."""
    pytest.importorskip("bm25s")
    monkeypatch.setattr(sys, "path", [str(root / "scripts"), *sys.path])
    from record_anchor import FIGURES, choice_of

    def answers(family, setting, cut):
        rng = np.random.default_rng(cut)
        figures = {f: [(f"{i:08x}", float(x)) for i, x in enumerate(rng.random(40))]
                   for f in FIGURES}
        figures["rjdb"] = [(f"{i:08x}", float(i % 5 != 0 and not (setting >= 0.5 and i % 5 == 1)))
                           for i in range(60)]
        for f in FIGURES:
            if f != "rjdb":
                figures[f] = [(c, x + setting * 0.1) for c, x in figures[f]]
        return {"family": family, "setting": setting, "cut": cut, "figures": figures}

    made = [answers(f, s, cut) for cut in range(5) for f, s in (
        ("zero-shot", 0.0), ("default", 1.0), ("mixed", 0.25), ("mixed", 0.5))]
    for halves in (False, True):
        found = choice_of(made, halves)["mixed"]
        assert found["chosen"] == 0.25 and found["safe"] and found["gains"]
        assert found["check"]["own skills"]["minus_zero_shot"]["difference"] == pytest.approx(0.025)
        assert found["check"]["rjdb"]["minus_zero_shot"]["n"] == (60 if halves else 120)
        assert found["rjdb"]["0.5"]["high"] < 0
