"""The scorer: light to import, the same score by every way in, and honest about bad folders."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import save_backbone

from resume_contrastive import scorer as module
from resume_contrastive.documents import Document, ReadError, document_from_text
from resume_contrastive.encoder import DualEncoder, EncoderConfig
from resume_contrastive.scorer import (
    EVEN_BLEND,
    Calibration,
    ContrastiveScorer,
    Ranked,
    as_document,
    blended,
    check_model,
    default_model,
    export_model,
    fit_calibration,
    hybrid_similarity,
)
from resume_contrastive.store import hash_file, read_json, write_json

RESUME = "Head Chef\nSkills\nrice, sauce, Python\nExperience\nRan the kitchen team and cooked rice."
JOB = "Cook wanted\nRequirements:\nPython, SQL and rice"
TEXTS = [
    f"Cook\nSkills\n{' '.join(w)}"
    for w in (
        ["rice"],
        ["sauce", "team"],
        ["python"],
        ["nurse", "and"],
        ["software", "engineer"],
        ["chef"],
    )
]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return save_backbone(tmp_path_factory.mktemp("backbone"), "bert")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, backbone):
    config = EncoderConfig(backbone=backbone, window=32, dim=8)
    torch.manual_seed(0)
    model = DualEncoder(32, config).eval()
    with torch.no_grad():
        model.job_head.project.weight.add_(0.2 * torch.randn(8, 32))  # the sides differ
    folder = tmp_path_factory.mktemp("models") / "model"
    return export_model(
        model,
        config.embedder(),
        folder,
        card="# Card\n",
        seed=3,
        calibration=Calibration(slope=5, intercept=-1, n=9),
        blend={"weight": 0.25, "learned_scale": [60, 20], "old_scale": [40, 10]},
    )


@pytest.fixture
def copy(exported, tmp_path):
    return Path(shutil.copytree(exported, tmp_path / "model"))


@pytest.fixture
def scorer(exported):
    return ContrastiveScorer(exported)


# ---------------------------------------------------------------- loading


def test_import_and_construction_load_nothing_heavy(exported):
    code = (
        "import sys; from resume_contrastive.scorer import *\n"
        f"s = ContrastiveScorer({str(exported)!r})\n"
        "assert not s.loaded\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'pandas', 'sklearn', 'pyarrow', 'docx',\n"
        "              'pypdfium2', 'matplotlib', 'ftfy'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_first_score_loads_and_a_bad_folder_is_said_then(tmp_path, scorer):
    assert not scorer.loaded
    scorer.score(RESUME, JOB)
    assert scorer.loaded and scorer.config["about"] == {"seed": 3} and scorer.calibration.n == 9
    absent = ContrastiveScorer(tmp_path / "none")
    for _ in range(2):  # and again: nothing half loaded stays behind
        with pytest.raises(ValueError, match="There is no model in"):
            absent.score(RESUME, JOB)
        assert not absent.loaded


def test_which_model_is_the_default(monkeypatch, tmp_path, exported):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESUME_CONTRASTIVE_MODEL", raising=False)
    assert default_model() == "zero-shot" == ContrastiveScorer().path
    shutil.copytree(exported, tmp_path / "models" / "contrastive")
    assert default_model() == "models/contrastive"
    monkeypatch.setenv("RESUME_CONTRASTIVE_MODEL", str(exported))
    assert default_model() == str(exported)


# ---------------------------------------------------------------- one score


def test_text_file_and_document_give_the_same_score(scorer, tmp_path):
    (tmp_path / "cv.txt").write_text(RESUME)
    (tmp_path / "job.md").write_text(JOB)
    ways = (
        (RESUME, JOB),
        (tmp_path / "cv.txt", tmp_path / "job.md"),
        (document_from_text(RESUME, "resume", id="r"), document_from_text(JOB, "job", id="j")),
    )
    want = scorer.score(RESUME, JOB)
    assert 0 < want < 100
    for resume in ways:
        for job in ways:
            assert scorer.score(resume[0], job[1]) == want
    fresh = ContrastiveScorer(scorer.path)
    assert fresh.score(*ways[1]) == pytest.approx(want, abs=1e-4)


def test_the_matrix_is_the_model_and_the_calibration_by_hand(scorer):
    raw = scorer.similarities(TEXTS, [JOB, TEXTS[0]])
    embedder, model = scorer._engine
    with torch.inference_mode():
        left, right = (
            model(embedder.fields([as_document(t, k) for t in ts]), k).numpy()
            for ts, k in ((TEXTS, "resume"), ([JOB, TEXTS[0]], "job"))
        )
    assert np.allclose(raw, left @ right.T, atol=1e-5)
    assert np.allclose(scorer.score_matrix(TEXTS, [JOB, TEXTS[0]]), 100 / (1 + np.exp(1 - 5 * raw)))
    assert scorer.score_matrix([], [JOB]).shape == (0, 1)
    assert scorer.score_matrix(TEXTS, []).shape == (6, 0)


def test_ranks_follow_scores_and_ties_keep_their_order(scorer):
    docs = [
        Document(id=f"r{n}", kind="resume", title=f"T{n % 3}", sections={"skills": TEXTS[n % 3]})
        for n in range(6)
    ]
    ranking = scorer.rank(JOB, docs)
    scores = scorer.score_matrix(docs, [JOB])[:, 0]
    order = sorted(range(6), key=lambda i: (-scores[i], i))
    assert [r.id for r in ranking] == [f"r{i}" for i in order]
    assert [r.rank for r in ranking] == [1, 2, 3, 4, 5, 6] and ranking[
        0
    ].title == f"T{order[0] % 3}"
    assert scorer.rank(JOB, docs, top_k=2) == ranking[:2]
    assert scorer.rank(JOB, docs, top_k=99) == ranking and scorer.rank(JOB, docs, top_k=0) == []
    assert (
        isinstance(scorer.rank_jobs(RESUME, [JOB])[0], Ranked)
        and scorer.rank_jobs(RESUME, []) == []
    )


def test_a_negative_number_of_results_is_a_sentence(scorer):
    with pytest.raises(ValueError, match="top_k"):
        scorer.rank(JOB, TEXTS, top_k=-1)


def test_many_threads_get_the_scores_of_one(exported):
    pairs = [(r, j) for r in TEXTS for j in (*TEXTS, JOB)]
    one = ContrastiveScorer(exported)
    want = [one.score(r, j) for r, j in pairs]
    shared = ContrastiveScorer(exported, keep=4)  # vectors are pushed out all the time
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda p: shared.score(*p), pairs * 3))
    assert np.allclose(found, want * 3, atol=1e-3) and len(shared._vectors) <= 4


def test_vectors_used_last_are_kept(exported):
    scorer = ContrastiveScorer(exported, keep=2)
    read = []
    scorer.load()
    fields = scorer._engine[0].fields
    scorer._engine[0].fields = lambda ds: read.append([d.text for d in ds]) or fields(ds)

    def use(text):
        read.clear()
        scorer._encode([as_document(text, "resume")])
        return bool(read)

    assert use("a cook") and use("a chef") and not use("a cook")
    assert use("a nurse") and not use("a cook") and use("a chef")  # the chef was used longest ago
    with pytest.raises(ValueError, match="keep must be >= 1, got 0"):
        ContrastiveScorer(exported, keep=0)


def test_the_same_words_on_two_sides_or_in_two_sections_are_two_documents(scorer):
    a, b = (Document(id="x", kind="resume", sections={s: "rice"}) for s in ("skills", "other"))
    c = Document(id="x", kind="job", sections={"other": "rice"})
    for d in (a, b, c):
        scorer._encode([d])
    assert len(scorer._vectors) == 3


def test_empty_documents_score_without_a_nan(scorer, backbone):
    empty = Document(id="e", kind="resume")
    for s in (scorer, ContrastiveScorer("zero-shot")):
        if s.path == "zero-shot":
            s._open = lambda: (EncoderConfig(backbone=backbone).embedder(), None)
        assert np.isfinite(s.score_matrix([empty, RESUME], [JOB])).all()
        assert np.isfinite(s.score(empty, JOB))


@pytest.mark.parametrize(
    ("resume", "error", "message"),
    [
        (" \n", ReadError, "no text in it"),
        ("cv.pdf", ValueError, "is the name of a file"),
        (Path("none.pdf"), ReadError, "does not exist"),
        (3, TypeError, "must be a text, a Path or a Doc"),
        (b"text", TypeError, "got bytes"),
        (None, TypeError, "got NoneType"),
        (Document(id="j", kind="job"), ValueError, "is a job, expected a resume"),
    ],
)
def test_bad_input_is_a_sentence(scorer, resume, error, message):
    with pytest.raises(error, match=message):
        scorer.score(resume, JOB)


def test_half_a_character_pair_does_not_stop_a_ranking(scorer):
    assert len(scorer.rank(JOB, [*TEXTS, "Cook \ud83d rice"])) == 7


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "checksums.json"])
@pytest.mark.parametrize("change", ["missing", "cut", "grown"])
def test_a_damaged_folder_is_one_sentence(copy, name, change):
    path = copy / name
    data = path.read_bytes()
    path.unlink()
    if change != "missing":
        path.write_bytes(data[:-9] if change == "cut" else data + b" x")
    with pytest.raises(ValueError) as e:
        ContrastiveScorer(copy).load()
    assert ("\n" not in str(e.value) and "model" in str(e.value) and "again" in str(e.value)) or (
        "There is no model" in str(e.value)
    )


def resealed(folder, **changes):
    config = read_json(folder / "config.json")
    config.update(changes)
    write_json(folder / "config.json", {k: v for k, v in config.items() if v != "gone"})
    sums = {n: hash_file(folder / n) for n in ("config.json", "model.safetensors")}
    write_json(folder / "checksums.json", sums)
    return folder


@pytest.mark.parametrize("number", [0, 2, "1", None])
def test_another_format_is_refused_by_its_number(copy, number):
    with pytest.raises(ValueError, match=f"has format {number!r}; this version reads format 1"):
        check_model(resealed(copy, format=number))


def test_a_foreign_folder_is_refused(backbone):
    with pytest.raises(ValueError, match="has format None"):
        ContrastiveScorer(backbone).load()


def test_other_weights_of_the_encoder_are_refused(copy):
    with pytest.raises(ValueError, match="was trained on other weights"):
        ContrastiveScorer(resealed(copy, backbone_sha256="0" * 64)).load()


@pytest.mark.parametrize(
    "change", ["checksums", "calibration", "backbone_sha256", "calibration fields"]
)
def test_a_folder_with_parts_of_another_shape_is_one_sentence(copy, change):
    if change == "checksums":
        (copy / "checksums.json").write_text("[]")
    elif change == "calibration fields":
        resealed(copy, calibration={"a": 1})
    else:
        resealed(copy, **{change: "gone"})
    with pytest.raises(ValueError):
        ContrastiveScorer(copy).load()


def test_an_export_replaces_the_folder_as_a_whole(copy, exported):
    (copy / "stale.bin").write_text("old")
    config = EncoderConfig(
        backbone=read_json(exported / "config.json")["encoder"]["backbone"], dim=4
    )
    export_model(DualEncoder(32, config), config.embedder(), copy)
    assert sorted(p.name for p in copy.iterdir()) == [
        "card.md",
        "checksums.json",
        "config.json",
        "model.safetensors",
    ]
    assert read_json(copy / "config.json")["blend"] == EVEN_BLEND
    assert ContrastiveScorer(copy).load().calibration == Calibration()
    assert [p.name for p in copy.parent.iterdir()] == ["model"]


# ---------------------------------------------------------------- calibration

NUMBERS = st.floats(-2, 2, allow_nan=False)


@given(NUMBERS, NUMBERS, st.floats(0, 200), st.floats(-50, 50))
def test_calibration_keeps_order_and_range(a, b, slope, intercept):
    c = Calibration(slope=slope, intercept=intercept)
    low, high = sorted((a, b))
    assert 0 <= c(low) <= c(high) <= 100


def test_calibration_by_hand():
    assert Calibration(slope=2, intercept=-1)(0.5) == 50
    assert Calibration(slope=1)(np.log(3)) == pytest.approx(75)
    assert [Calibration()(s) for s in (-0.5, 0.25, 2)] == [0, 25, 100]


def test_calibration_weighs_both_groups_the_same():
    few, many = [0.6, 0.7], [0.3, 0.4] * 500
    c = fit_calibration(few, many)
    assert c.n == 1002 and c(0.5) == pytest.approx(50, abs=3) and c.slope > 0


# ---------------------------------------------------------------- the old call


@pytest.fixture
def shared_zero_shot(backbone, monkeypatch):
    "The five signals read with a tiny encoder"
    zero = ContrastiveScorer("zero-shot")
    zero._open = lambda: (EncoderConfig(backbone=backbone, window=32).embedder(), None)
    monkeypatch.setattr(module, "_SHARED", {"zero-shot": zero})


def test_the_three_modes_agree_with_one_another(scorer, shared_zero_shot):
    replaced = hybrid_similarity(RESUME, JOB, scorer=scorer)
    explained = hybrid_similarity(RESUME, JOB, "explain", scorer=scorer)
    mixed = hybrid_similarity(RESUME, JOB, "blend", scorer=scorer)
    assert isinstance(replaced, float) and isinstance(mixed, float)
    assert replaced == scorer.score(RESUME, JOB) and explained["score"] == round(replaced, 2)
    five = explained["five_signals"]  # on the scales that the folder carries
    assert mixed == pytest.approx(40 + 10 * (0.25 * (replaced - 60) / 20 + 0.75 * (five - 40) / 10))
    with pytest.raises(ValueError, match="mode must be one of replace, blend, explain, got 'both'"):
        hybrid_similarity(RESUME, JOB, "both", scorer=scorer)


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 1))
def test_a_blend_stays_in_range_and_ends_at_its_parts(learned, five, weight):
    scales = {"learned_scale": [50, 10], "old_scale": [40, 20]}
    assert 0 <= blended(learned, five, {"weight": weight, **scales}) <= 100
    assert blended(learned, five, {"weight": 0, **scales}) == pytest.approx(five, abs=1e-9)
    assert blended(50, 7, {"weight": 1, **scales}) == 40  # the mean of one is the mean of the other


def test_an_explanation_is_json_and_adds_up(scorer, shared_zero_shot):
    found = hybrid_similarity(RESUME, JOB, "explain", scorer=scorer)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == {
        "resume",
        "job",
        "score",
        "sections",
        "fit",
        "matched",
        "implied",
        "missing",
        "signals",
        "five_signals",
    }
    assert list(found["sections"]) == ["skills", "experience"]
    assert [x.lower() for x in found["matched"]] == ["python"] and found["fit"] == 0.5
    assert [x.lower() for x in found["missing"]] == ["sql"]
    assert all(0 <= v <= 100 for v in (found["score"], *found["sections"].values()))


def test_an_explanation_without_requirements_is_json_too(scorer):
    json.dumps(scorer.explain(RESUME, "We are nice\nand we like people"), allow_nan=False)
