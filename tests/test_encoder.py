"""The encoder: every transformer and option works, starts as the zero-shot one, and saves."""

import itertools
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy.stats import spearmanr
from tiny import ARCHITECTURES, save_backbone

from resume_contrastive.documents import Document, read_table
from resume_contrastive.encoder import (
    DualEncoder,
    EncoderConfig,
    Head,
    confit,
    encoder_score,
    leading_directions,
    load_dual_encoder,
)
from resume_contrastive.windows import FIELDS, Embedder, FieldBatch

OPTIONS = [
    dict(interaction=i, merge=m, dim=d, sides=s, similarity=f)
    for (i, m), (d, s, f) in zip(
        itertools.product(("none", "attention"), ("mean", "learned", "attention")),
        (
            (8, "separate", "cosine"),
            (0, "shared", "cosine"),
            (8, "shared", "dot"),
            (0, "separate", "dot"),
            (16, "shared", "cosine"),
            (8, "separate", "dot"),
        ),
        strict=True,
    )
]


def ids(options):
    return "-".join(str(v) for v in options.values())


def batch(n=5, fields=3, d=16, seed=0):
    "Documents with 1 to `fields` fields, and one empty document at the end"
    g = torch.Generator().manual_seed(seed)
    weights = torch.randint(1, 50, (n, fields), generator=g).float()
    weights[:, 1:] *= torch.rand(n, fields - 1, generator=g) > 0.4
    weights[-1] = 0
    vectors = torch.nn.functional.normalize(torch.randn(n, fields, d, generator=g), dim=-1)
    names = torch.randint(0, len(FIELDS), (n, fields), generator=g)
    return FieldBatch(vectors * (weights > 0)[..., None], weights, names)


@pytest.fixture(scope="module")
def corpus(sample):
    resumes = read_table(sample / "resumes.csv", "resume")[0][::48][:5]
    jobs = read_table(sample / "jobs.csv", "job")[0][::24][:5]
    return resumes, jobs


# ---------------------------------------------------------------- transformers


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_each_kind_of_transformer_reads_trains_and_scores(tmp_path, kind):
    config = EncoderConfig(backbone=save_backbone(tmp_path / kind, kind), window=16, dim=8)
    embedder = config.embedder(cache=tmp_path / "cache")
    docs = [
        [
            Document(id=f"{k}{n}", kind=k, title="Head chef", sections={s: text})
            for n, text in enumerate(["cook rice and sauce " * 12, "python software", "nurse"])
        ]
        for k, s in (("resume", "skills"), ("job", "requirements"))
    ]
    sides = [embedder.fields(x) for x in docs]
    assert sides[0].vectors.shape == (3, 2, 32) and sides[0].vectors.isfinite().all()
    assert torch.allclose(sides[0].mean().norm(dim=1), torch.ones(3), atol=1e-5)
    model = DualEncoder(32, config).start_from(torch.cat([s.mean() for s in sides]))
    scores = encoder_score(embedder, model)(*docs)
    assert scores.shape == (3, 3) and np.isfinite(scores).all() and np.ptp(scores) > 0
    # the same documents from the cache, with a new embedder
    again = config.embedder(cache=tmp_path / "cache")
    assert np.array_equal(encoder_score(again, model)(*docs), scores) and again.encoded == 0
    # padding changes nothing: alone as among others, but for the last bits
    alone = Embedder(config.backbone, window=16).fields(docs[0][1:2])
    assert torch.allclose(alone.vectors[0], sides[0].vectors[1], atol=1e-5)


def test_at_the_start_the_ranking_is_that_of_the_zero_shot_encoder(corpus):
    embedder = Embedder(max_windows=2)
    zero = encoder_score(embedder)(*corpus)
    means = torch.cat([embedder.fields(x).mean() for x in corpus])
    for change in (
        dict(dim=10),
        dict(dim=10, merge="attention", interaction="attention"),
        dict(dim=0, sides="shared", similarity="dot", merge="learned"),
    ):
        model = DualEncoder(384, EncoderConfig(**change)).start_from(means)
        score = encoder_score(embedder, model)(*corpus)
        assert spearmanr(score.ravel(), zero.ravel())[0] > 0.995, change
        assert (score.argmax(1) == zero.argmax(1)).all(), change


def test_on_real_documents_the_ranking_at_the_start_is_the_zero_shot_one(real_data):
    everyone = [
        read_table(real_data / "kaggle" / name, kind)[0]
        for name, kind in (("Resume.csv", "resume"), ("training_data.csv", "job"))
    ]
    scored, seen = ([d[n : n + 500 : 8][:60] for d in everyone] for n in (0, 3))
    embedder = Embedder(max_windows=2)
    zero = encoder_score(embedder)(*scored)
    assert zero.shape == (60, 60)
    # other documents than those scored, and fewer of them than dimensions
    means = torch.cat([Embedder(max_windows=1).fields(x).mean() for x in seen])
    for change, dim, least in (
        ({}, None, 0.98),
        (dict(interaction="attention", merge="learned", sides="shared"), None, 0.98),
        ({}, 128, 0.9),
        ({}, 64, 0.8),
    ):
        model = DualEncoder(384, EncoderConfig(**change)).start_from(means)
        score = encoder_score(embedder, model, dim)(*scored)
        rho = spearmanr(score.ravel(), zero.ravel())[0]
        print(change, dim, round(rho, 4))
        assert rho >= least, (change, dim, rho)


# ---------------------------------------------------------------- the papers


def test_the_papers_encoders_run(tmp_path, corpus):
    folder = save_backbone(tmp_path, "bert")
    for version in (1, 2):
        config = confit(version, backbone=folder, window=64)
        embedder = config.embedder()
        sides = [embedder.fields(x) for x in corpus]
        model = DualEncoder(32, config).start_from(torch.cat([s.mean() for s in sides]))
        assert np.isfinite(encoder_score(embedder, model)(*corpus)).all()
        if version == 1:  # every document has every field, and they count alike
            assert all((s.weights > 0).all() for s in sides)
            merged = model.eval()(sides[1], "job")
            mean = torch.nn.functional.normalize(sides[1].vectors.mean(1), dim=1)
            assert torch.allclose(merged, mean, atol=1e-5)
    with pytest.raises(ValueError, match="version must be 1 or 2, got 3"):
        confit(3)


def test_equal_fields_by_brute_force():
    data = batch(seed=7)
    model = DualEncoder(16, EncoderConfig(dim=0, field_weight="equal"))
    out = model(data, "resume")
    for i in range(4):
        mean = data.vectors[i][data.weights[i] > 0].mean(0)
        assert torch.allclose(out[i], mean / mean.norm(), atol=1e-5)
    assert not out[-1].any()


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_vectors_can_be_cut_to_their_leading_dimensions(similarity):
    model = DualEncoder(16, EncoderConfig(dim=8, similarity=similarity)).start_from(torch.eye(16))
    whole, cut = model(batch(), "job"), model(batch(), "job", 4)
    want = whole[:, :4]
    if similarity == "cosine":
        want = torch.nn.functional.normalize(want, dim=1)
    assert torch.allclose(cut, want, atol=1e-6) and cut.shape == (5, 4)
    for dim in (0, 9):
        with pytest.raises(ValueError, match=f"dim must be 1 to 8 for this encoder, got {dim}"):
            model(batch(), "job", dim)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("options", OPTIONS, ids=ids)
def test_each_option_runs_forth_and_back(options):
    model = DualEncoder(16, EncoderConfig(**options)).start_from(torch.eye(16))
    r, j = model(batch(seed=1), "resume"), model(batch(seed=2), "job")
    assert r.shape == (5, options["dim"] or 16) and r.isfinite().all()
    if options["similarity"] == "cosine":
        assert torch.allclose(r[:-1].norm(dim=1), torch.ones(4), atol=1e-5)
    if not list(model.parameters()):  # nothing to learn with neither projection nor merge
        return
    (r @ j.T * torch.randn(5, 5, generator=torch.Generator().manual_seed(3))).sum().backward()
    grads = {n: p.grad for n, p in model.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in grads.values())
    assert any(g.abs().sum() > 0 for g in grads.values())


@pytest.mark.parametrize("options", OPTIONS, ids=ids)
def test_an_empty_document_is_finite_and_disturbs_nobody(options):
    model = DualEncoder(16, EncoderConfig(**options)).eval()
    everything = batch(seed=4)
    with torch.inference_mode():
        out = model(everything, "resume")
        assert out.isfinite().all() and not out[-1].any()
        for i in range(5):  # nor does any document see its neighbours, or its own padding
            present = everything.weights[i] > 0
            one = FieldBatch(
                everything.vectors[i : i + 1, present],
                everything.weights[i : i + 1, present],
                everything.names[i : i + 1, present],
            )
            if present.any():
                assert torch.allclose(model(one, "resume")[0], out[i], atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=ids)
def test_saving_and_loading_gives_the_same_bits(options, tmp_path):
    torch.manual_seed(1)
    model = DualEncoder(16, EncoderConfig(**options)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    model.save(tmp_path / "m", note="kept")
    again = load_dual_encoder(tmp_path / "m")
    assert again.config == model.config and again.d == 16 and not again.training
    with torch.inference_mode():
        for kind in ("resume", "job"):
            assert torch.equal(again(batch(), kind), model(batch(), kind))
    assert json.loads((tmp_path / "m" / "config.json").read_text())["note"] == "kept"
    names = set(load_file(tmp_path / "m" / "model.safetensors"))
    assert any(n.startswith("job_head.") for n in names) == (
        options["sides"] == "separate" and bool(names)
    )


def test_shared_sides_are_one_module_and_separate_ones_drift_apart():
    shared = DualEncoder(16, EncoderConfig(sides="shared", dim=8))
    assert shared.resume_head is shared.job_head
    assert len(list(shared.parameters())) == 1
    apart = DualEncoder(16, EncoderConfig(sides="separate", dim=8))
    assert torch.equal(apart(batch(), "resume"), apart(batch(), "job"))  # they start alike
    apart(batch(), "resume").sum().backward()
    assert apart.resume_head.project.weight.grad.abs().sum() > 0
    assert apart.job_head.project.weight.grad is None


def test_a_masked_field_is_read_by_nobody():
    torch.manual_seed(0)
    head = Head(32, EncoderConfig(interaction="attention", merge="learned", dim=8)).eval()
    for p in head.parameters():
        torch.nn.init.normal_(p, std=0.2)
    x, names = torch.randn(3, 4, 32), torch.arange(4).repeat(3, 1)
    weights = torch.tensor([[0.0, 2, 1, 1], [3.0, 0, 1, 1], [1.0, 1, 1, 0]])
    other = x.clone()
    other[weights == 0] = 100.0
    with torch.inference_mode():
        a, b = (head(FieldBatch(v, weights, names)) for v in (x, other))
    torch.testing.assert_close(a, b)


def test_the_merge_by_brute_force():
    data = batch(seed=5)
    model = DualEncoder(16, EncoderConfig(dim=0, merge="learned")).eval()
    logits = torch.randn(len(FIELDS), generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        model.resume_head.field_logit.copy_(logits)
        out = model(data, "resume")
    for i in range(4):
        weight = data.weights[i] * logits[data.names[i]].exp()
        mean = (weight[:, None] * data.vectors[i]).sum(0)
        assert torch.allclose(out[i], mean / mean.norm(), atol=1e-5)


def test_the_mean_merge_without_projection_is_the_zero_shot_vector():
    model = DualEncoder(16, EncoderConfig(dim=0)).eval()
    assert torch.allclose(model(batch(), "job"), batch().mean(), atol=1e-5)


# ---------------------------------------------------------------- directions


def test_directions_are_orthonormal_fixed_in_sign_and_the_best_of_their_number():
    v = torch.nn.functional.normalize(
        torch.randn(60, 12, generator=torch.Generator().manual_seed(0))
        * torch.linspace(3, 0.2, 12),
        dim=1,
    )
    rows = leading_directions(v, 4)
    assert torch.allclose(rows @ rows.T, torch.eye(4), atol=1e-5)
    assert torch.equal(rows, leading_directions(v.flip(0).flip(0), 4))
    assert (rows.gather(1, rows.abs().argmax(1, keepdim=True)) > 0).all()
    kept = (v @ rows.T).square().sum()
    for seed in range(5):
        q = torch.linalg.qr(torch.randn(12, 4, generator=torch.Generator().manual_seed(seed)))[0]
        assert (v @ q).square().sum() < kept
    assert torch.allclose(kept, torch.linalg.svdvals(v)[:4].square().sum(), rtol=1e-4)
    with pytest.raises(ValueError, match="dim must be <= 12 for this encoder, got 13"):
        DualEncoder(12, EncoderConfig(dim=13)).start_from(v)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(merge="max"), "merge must be one of mean, learned, attention, got 'max'"),
        (dict(sides="both"), "sides must be one of"),
        (dict(interaction="full"), "interaction must be"),
        (dict(layout=""), "layout must be one of"),
        (dict(missing="drop"), "missing must be one of mask, unknown, got 'drop'"),
        (dict(field_weight=""), "field_weight must be one of tokens, equal"),
        (dict(dim=-1), "must be >= 0, got -1 and 0"),
        (dict(max_windows=-2), "must be >= 0, got 256 and -2"),
    ],
)
def test_config_says_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        EncoderConfig(**change)


def test_only_two_sides_exist():
    with pytest.raises(ValueError, match="kind must be 'resume' or 'job', got 'cv'"):
        DualEncoder(16, EncoderConfig(dim=4))(batch(), "cv")


def test_attention_needs_a_width_that_its_heads_divide():
    with pytest.raises(ValueError, match="8"):
        DualEncoder(12, EncoderConfig(interaction="attention", dim=4))


@pytest.mark.parametrize(
    "config",
    [
        "[]",
        "{}",
        '{"d": 16}',
        '{"d": 16, "encoder": {"merge": "max"}}',
        '{"d": 12, "encoder": {"dim": 8}}',
    ],
)
def test_a_folder_of_something_else_is_one_sentence(tmp_path, config):
    DualEncoder(16, EncoderConfig(dim=8)).save(tmp_path)
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match="does not hold a whole model") as e:
        load_dual_encoder(tmp_path)
    assert "\n" not in str(e.value)
