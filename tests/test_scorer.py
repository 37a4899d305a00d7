"""The scorer: light to import, the same score by every way in, and honest about bad folders."""

import json
import shutil
import subprocess
import sys
import threading
import time
import types
import zlib
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
from resume_contrastive.export import seal
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
    hybrid_similarity,
)
from resume_contrastive.store import read_json, write_json

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
    small = Path(module.__file__).parent / "assets" / "small"
    shipped = str(small) if (small / "config.json").exists() else "zero-shot"
    assert default_model() == shipped == ContrastiveScorer().path
    assert str(tmp_path.anchor) not in module.model_name(str(small)) and "small" in (
        module.model_name(str(small)))
    assert [module.model_name(x) for x in ("a/b", "zero-shot")] == ["a/b", "zero-shot"]
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
    embedder, model = scorer._engine.embedder, scorer._engine.model
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
    fields = scorer._engine.embedder.fields
    scorer._engine.embedder.fields = lambda ds: read.append([d.text for d in ds]) or fields(ds)

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
            s._open = lambda: module._TorchEngine(EncoderConfig(backbone=backbone).embedder(), None)
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
    seal(folder)
    return folder


@pytest.mark.parametrize("number", [0, 3, "1", None])
def test_another_format_is_refused_by_its_number(copy, number):
    with pytest.raises(ValueError, match=f"has format {number!r}; this version reads formats 1"):
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
        "prompts.json",
        "tokenizer",
    ]
    assert read_json(copy / "config.json")["blend"] == EVEN_BLEND
    assert ContrastiveScorer(copy).load().calibration == Calibration()
    assert [p.name for p in copy.parent.iterdir()] == ["model"]


# ---------------------------------------------------------------- the old call


@pytest.fixture
def shared_zero_shot(backbone, monkeypatch):
    "The five signals read with a tiny encoder"
    zero = ContrastiveScorer("zero-shot")
    embedder = EncoderConfig(backbone=backbone, window=32).embedder()
    zero._open = lambda: module._TorchEngine(embedder, None)
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
        "meaning",
        "sections",
        "without",
        "fit",
        "matched",
        "implied",
        "missing",
        "missing_required",
        "requirements",
        "sentences",
        "suspicions",
        "signals",
        "five_signals",
    }
    assert list(found["sections"]) == ["skills", "experience"]
    assert [x.lower() for x in found["matched"]] == ["python"] and found["fit"] == 0.5
    assert [x.lower() for x in found["missing"]] == ["sql"]
    assert all(0 <= v <= 100 for v in (found["score"], *found["sections"].values()))


def test_an_explanation_without_requirements_is_json_too(scorer):
    json.dumps(scorer.explain(RESUME, "We are nice\nand we like people"), allow_nan=False)


# ---------------------------------------------------------------- many requests, other back ends


class Stub:
    "An engine that hashes words, counts its passes, and fails where it is told to"

    def __init__(self, *, seconds=0.01):
        self.passes, self.seen, self.seconds = [], [], seconds

    def __call__(self, documents):
        self.passes.append(len(documents))
        self.seen += [d.text for d in documents]
        time.sleep(self.seconds)
        if any("poison" in d.text for d in documents):
            raise RuntimeError("poison is not encoded")
        out = np.zeros((len(documents), 16), np.float32)
        for i, d in enumerate(documents):
            for word in d.text.lower().split():
                out[i, zlib.crc32(word.encode()) % 16] += 1
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


@pytest.fixture
def stubbed():
    scorer, stub = ContrastiveScorer("zero-shot"), Stub()
    opened = []
    scorer._open = lambda: (time.sleep(0.05), opened.append(1), stub)[2]
    return scorer, stub, opened


def test_thirty_two_threads_load_once(stubbed):
    scorer, _, opened = stubbed
    start = threading.Barrier(32)

    def ask(n):
        start.wait()
        return scorer.score(f"Cook {n} rice", JOB)

    with ThreadPoolExecutor(32) as pool:
        scores = list(pool.map(ask, range(32)))
    assert opened == [1] and len(scores) == 32


def test_a_failed_load_is_tried_again_and_holds_nobody_up(stubbed):
    scorer, _, _ = stubbed
    good, tries = scorer._open, []

    def bad():
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("There is no model in here")
        return good()

    scorer._open = bad

    def ask(n):
        try:
            return scorer.score(f"Cook {n}", JOB)
        except ValueError as e:
            return str(e)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert found.count("There is no model in here") == 1 and len(tries) == 2


def test_sixty_four_requests_share_passes_with_the_scores_of_one(stubbed):
    scorer, stub, _ = stubbed
    scorer.load()
    start = threading.Barrier(64)

    def ask(n):
        start.wait()
        return scorer.score(f"Cook {n} rice and sauce {'python ' * (n % 7)}", JOB)

    with ThreadPoolExecutor(64) as pool:
        shared = list(pool.map(ask, range(64)))
    assert len(stub.passes) <= 16 and sum(stub.passes) == 65  # the job is read once
    alone = ContrastiveScorer("zero-shot")
    alone._open = lambda: Stub(seconds=0)
    for n in range(0, 64, 7):
        want = alone.score(f"Cook {n} rice and sauce {'python ' * (n % 7)}", JOB)
        assert shared[n] == pytest.approx(want, abs=1e-5)


def test_one_poisoned_request_fails_alone(stubbed):
    scorer, _, _ = stubbed
    scorer.load()
    start = threading.Barrier(24)

    def ask(n):
        start.wait()
        try:
            return scorer.score(f"Cook {n} {'poison' if n == 7 else 'rice'}", JOB)
        except RuntimeError as e:
            return str(e)

    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(ask, range(24)))
    assert [n for n, x in enumerate(found) if isinstance(x, str)] == [7]
    assert found[7] == "poison is not encoded" and scorer.score("Cook rice", JOB) >= 0


def test_concurrent_requests_get_the_real_encoders_sequential_scores(exported):
    pairs = [(r, j) for r in TEXTS for j in (JOB, TEXTS[0])]
    one, shared = ContrastiveScorer(exported, batch=1), ContrastiveScorer(exported)
    want = [one.similarities([r], [j])[0, 0] for r, j in pairs]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda p: shared.similarities([p[0]], [p[1]])[0, 0], pairs))
    assert np.allclose(found, want, atol=1e-5)


def test_vectors_of_another_model_version_are_not_taken(exported, copy):
    a, b = ContrastiveScorer(exported), ContrastiveScorer(resealed(copy, about={"seed": 4}))
    a.load(), b.load()
    assert a.version != b.version and a._vectors is not b._vectors
    document = as_document(RESUME, "resume")
    assert module._key(a, document) != module._key(b, document)


@pytest.mark.parametrize("backend", ["onnx", "onnx-int8"])
def test_another_back_end_is_one_import_away(backend, copy, monkeypatch):
    opened = []

    class OnnxEncoder:
        def __init__(self, folder, **kwargs):
            opened.append((str(folder), kwargs))

        encode = Stub(seconds=0).__call__

    stub = types.ModuleType("resume_contrastive.onnx_export")
    stub.OnnxEncoder = OnnxEncoder
    monkeypatch.setitem(sys.modules, "resume_contrastive.onnx_export", stub)
    scorer = ContrastiveScorer(copy, backend=backend)
    assert not opened and 0 <= scorer.score(RESUME, JOB) <= 100
    wanted = "int8" if backend == "onnx-int8" else "fp32"
    assert opened == [(str(copy), {"precision": wanted})]
    assert scorer.calibration.n == 9 and scorer.version != ContrastiveScorer(copy).load().version


def test_bad_back_ends_are_sentences():
    with pytest.raises(ValueError, match="one of auto, torch, onnx, onnx-int8, got 'tf'"):
        ContrastiveScorer("x", backend="tf")
    with pytest.raises(ValueError, match="the zero-shot encoder has no ONNX graph"):
        ContrastiveScorer("zero-shot", backend="onnx")


def test_a_text_that_is_too_long_is_refused_before_it_is_read(stubbed):
    scorer, stub, _ = stubbed
    start = time.perf_counter()
    for item in ("rice " * 1_000_000, Document(id="l", kind="resume",
                                               sections={"skills": "rice " * 1_000_000})):
        with pytest.raises(ReadError, match="the resume has 5,000,000 letters; the limit is 200,0"):
            scorer.score(item, JOB)
    assert time.perf_counter() - start < 5 and not stub.seen


def test_ranks_follow_similarities_that_a_score_can_not_tell_apart(stubbed):
    scorer, _, _ = stubbed
    scorer.load()
    scorer.calibration = Calibration(slope=5000, intercept=-1)  # every score is 100 or 0
    found = scorer.rank("Cook\nrice sauce team", ["a b c d", "sauce b c d", "rice sauce team x"])
    raw = scorer.similarities(["a b c d", "sauce b c d", "rice sauce team x"],
                              ["Cook\nrice sauce team"])[:, 0]
    ids = [as_document(t, "resume").id for t in ("a b c d", "sauce b c d", "rice sauce team x")]
    assert [r.id for r in found] == [ids[i] for i in np.argsort(-raw, kind="stable")]


def test_a_score_has_words(scorer):
    assert "were not counted" in scorer.describe(50)
    assert "no calibration was fitted" in ContrastiveScorer("zero-shot").load().describe(50)
