"""The index: what it finds, what it keeps, and what a crash or a foreign folder does to it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resume_contrastive.bulk import document_rows
from resume_contrastive.documents import Document
from resume_contrastive.scorer import Calibration, ContrastiveScorer, export_model
from resume_contrastive.store import read_json

pytest.importorskip("lancedb", reason="the extra `index` is not installed")
from resume_contrastive.document_index import DocumentIndex, IndexConfig, read_index
from resume_contrastive.index_folder import _sentence

WORDS = "rice sauce bread fish python sql java excel audit secretword".split()


def resume(n, category="CHEF", **more):
    rng = np.random.default_rng(n)
    skills = {"skills": " ".join(rng.choice(WORDS, 5))}
    return Document(id=f"r{n}", kind="resume", category=category, sections=skills, **more)


def encode(documents):
    """Counts of words, of length 1."""
    x = np.array([[0.1 + d.text.split().count(w) for w in WORDS] for d in documents], np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


JOB = Document(id="j", kind="job", sections={"requirements": "rice bread python"})


def small_model(folder, seed):
    import torch
    from tiny import save_backbone

    from resume_contrastive.encoder import DualEncoder, EncoderConfig

    config = EncoderConfig(backbone=save_backbone(folder / "trunk", "bert"), window=32, dim=8)
    torch.manual_seed(seed)
    return export_model(DualEncoder(32, config).eval(), config.embedder(), folder / "model",
                        calibration=Calibration(slope=5, intercept=-1, n=9))  # fmt: skip


@pytest.fixture
def index(tmp_path):
    return DocumentIndex(tmp_path / "index", encode, model="m")


def files_with(folder, text):
    return [p for p in Path(folder).rglob("*") if p.is_file() and text in p.read_bytes()]


# ---------------------------------------------------------------- add, delete, query


def test_an_exact_search_is_the_matrix_product(index):
    docs = [resume(n) for n in range(60)]
    index.add(docs)
    hits = index.query(JOB, "resume", 60)
    by_id = dict(zip([d.id for d in docs], encode(docs) @ encode([JOB])[0], strict=True))
    assert [h.rank for h in hits] == list(range(1, 61))
    found = [h.similarity for h in hits]
    assert np.allclose(found, [by_id[h.id] for h in hits], atol=1e-6)
    assert np.allclose(found, sorted(by_id.values(), reverse=True), atol=1e-6)


def test_adding_twice_encodes_once_and_a_new_category_keeps_the_vector(index):
    seen = []
    index.encode = lambda d: (seen.append(len(d)), encode(d))[1]
    docs = [resume(n) for n in range(5)]
    assert index.add(docs) == {"added": 5, "updated": 0, "unchanged": 0}
    assert index.add(docs) == {"added": 0, "updated": 0, "unchanged": 5}
    assert index.add([resume(0, "NURSE")]) == {"added": 0, "updated": 1, "unchanged": 0}
    assert seen == [5]
    changed = Document(id="r1", kind="resume", sections={"skills": "audit"})
    assert index.add([resume(1), changed]) == {"added": 0, "updated": 1, "unchanged": 0}
    assert index.count() == 5 and seen == [5, 1]
    assert index.query("audit\nneeded", "resume", 1)[0].id == "r1"
    assert [h.id for h in index.query(JOB, "resume", where={"category": "NURSE"})] == ["r0"]


def test_no_text_is_stored_and_a_deleted_document_leaves_the_disk(index, tmp_path):
    docs = [resume(n, source=f"file-of-{n}-x") for n in range(20)]
    index.add(docs)
    assert not files_with(tmp_path, b"secretword")
    assert index.delete(["r7", "unknown"], "resume") == 1
    assert "r7" not in [h.id for h in index.query(JOB, "resume", 30)]
    index.compact()
    assert not files_with(tmp_path, b"file-of-7-x") and index.count() == 19
    assert DocumentIndex(index.folder).verify()["resume"]["rows"] == 19
    kept = DocumentIndex(tmp_path / "text", encode, model="m", config=IndexConfig(store_text=True))
    kept.add(docs)
    assert files_with(tmp_path / "text", b"secretword")
    with pytest.raises(ValueError, match="was built with store_text=True"):
        DocumentIndex(tmp_path / "text", encode, model="m", config=IndexConfig())


def test_build_replaces_all_and_a_failing_build_changes_nothing(index):
    index.add([resume(n) for n in range(5)])
    other = DocumentIndex(index.folder, encode, model="m")
    assert other.count() == 5
    index.build([resume(n) for n in range(5, 8)])
    assert index.count() == other.count() == 3

    def broken():
        yield resume(1)
        raise OSError("disk full")

    with pytest.raises(OSError):
        index.build(broken())
    with pytest.raises(ValueError, match="no document to build"):
        index.build([])
    assert index.count() == 3
    assert {p.name for p in index.folder.parent.iterdir()} == {"index", ".index.lock"}


def test_a_scorer_gives_its_scores_and_another_model_is_refused(tmp_path):
    a, b = (ContrastiveScorer(small_model(tmp_path / n, s)) for n, s in (("a", 0), ("b", 1)))
    docs = [resume(n) for n in range(4)]
    index = DocumentIndex(tmp_path / "index", a)
    index.add(docs)
    hits = index.query(JOB, "resume")
    ranked = a.rank(JOB, docs)
    assert [h.score for h in hits] == pytest.approx([r.score for r in ranked], abs=0.02)
    for other in (b, None):
        wrong = DocumentIndex(tmp_path / "index", other)
        with pytest.raises(ValueError, match="Vectors of two models can't be compared"):
            wrong.query(np.ones(8), "resume")
    with pytest.raises(ValueError, match="Vectors of two models can't be compared"):
        DocumentIndex(tmp_path / "index", b).add(docs)
    assert DocumentIndex(tmp_path / "index").count("resume") == 4


def test_a_large_side_gets_an_approximate_index_that_new_rows_join(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 16)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    docs = [Document(id=f"r{n}", kind="resume", category="rare" if n % 500 == 0 else "all",
                     sections={}) for n in range(3000)]  # fmt: skip
    config = IndexConfig(exact_up_to=1000, rows_per_partition=100, nprobes=8)
    index = DocumentIndex(tmp_path / "index", model="m", config=config)
    index.add_rows(document_rows(docs[:2900], x[:2900]))
    assert index.optimize() == {"resume": "indexed"} and index.optimize() == {}
    assert index.verify()["resume"]["indexed"] == 2900
    index.add_rows(document_rows(docs[2900:], x[2900:]))
    found = [{h.id for h in index.query(q, "resume")} for q in x[:40]]
    exact = [{h.id for h in index.query(q, "resume", exact=True)} for q in x[:40]]
    true = [{f"r{i}" for i in np.argsort(-(x @ q))[:10]} for q in x[:40]]
    assert exact == true
    assert np.mean([len(a & b) / 10 for a, b in zip(found, true, strict=True)]) > 0.8
    assert index.query(x[2950], "resume")[0].id == "r2950"  # not indexed yet, found all the same
    assert len(index.query(x[0], "resume", 6, where={"category": "rare"})) == 6
    index.delete(["r2950"], "resume")
    assert index.query(x[2950], "resume")[0].id != "r2950"


# ---------------------------------------------------------------- filters


TEXT = st.text(st.sampled_from("a'\"\\;-%_ \n)(é\0"), max_size=8)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(categories=st.lists(TEXT, min_size=2, max_size=4))
def test_any_category_finds_itself_and_no_other(index, categories):
    index.add([resume(n, c) for n, c in enumerate(categories)])
    index.delete([f"r{n}" for n in range(len(categories), 4)], "resume")
    value = categories[0]
    want = {f"r{n}" for n, c in enumerate(categories) if c == value}
    assert {h.id for h in index.query(JOB, "resume", where={"category": value})} == want
    assert index.delete([value + "'"], "resume") == 0 and index.count() == len(categories)


def test_filters_take_known_columns_and_strings_only(index):
    index.add([resume(1)])
    for where in ({"vector": "x"}, {"id": 3}, {"1=1 --": "x"}):
        with pytest.raises(ValueError, match=r"no column|must be strings"):
            index.query(JOB, "resume", where=where)
    assert index.query(JOB, "resume", where={"id": []}) == []


# ---------------------------------------------------------------- crashes

CHILD = """
import sys, time
sys.path.insert(0, {tests!r})
from test_index import encode, resume
from resume_contrastive.document_index import DocumentIndex, IndexConfig
index = DocumentIndex({folder!r}, encode, model="m", config=IndexConfig(batch=4))
print("ready", flush=True)
index.add((resume(n) for n in range(80)), on_batch=lambda c: print(c["added"], flush=True))
"""


@pytest.mark.parametrize(("batches", "delay"), [(0, 0.01), (1, 0.0), (4, 0.005)])
def test_a_kill_in_the_middle_loses_nothing_that_was_added(tmp_path, batches, delay):
    folder = tmp_path / "index"
    code = CHILD.format(tests=str(Path(__file__).parent), folder=str(folder))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    lines = [child.stdout.readline() for _ in range(batches + 1)]
    time.sleep(delay)
    os.kill(child.pid, signal.SIGKILL)
    lines += child.stdout.read().splitlines()
    child.wait()
    said = max([int(x) for x in lines if x.strip().isdigit()], default=0)
    index = DocumentIndex(folder, encode, model="m")
    there = index.count()
    assert said <= there < 80
    if there:
        assert index.verify()["resume"]["rows"] == there
    counts = index.add(resume(n) for n in range(80))
    assert counts == {"added": 80 - there, "updated": 0, "unchanged": there}
    assert index.verify()["resume"]["rows"] == 80


# ---------------------------------------------------------------- folders


def damage(folder, how):
    table = folder / "tables" / "resume.lance"
    if how == "no json":
        (folder / "index.json").unlink()
    elif how == "json":
        (folder / "index.json").write_text("{")
    elif how == "format":
        (folder / "index.json").write_text(json.dumps({"format": 99}))
    elif how == "lacking":
        (folder / "index.json").write_text(json.dumps({"format": 1}))
    elif how == "manifest":
        for p in (table / "_versions").iterdir():
            p.write_bytes(b"x" * 40)
    elif how == "data":
        for p in (table / "data").iterdir():
            p.write_bytes(b"x" * 400)
    elif how == "gone":
        shutil.rmtree(table / "data")


@pytest.mark.parametrize(
    "how", ["no json", "json", "format", "lacking", "manifest", "data", "gone"])  # fmt: skip
def test_a_damaged_folder_gives_a_sentence(index, how):
    index.add([resume(n) for n in range(5)])
    damage(index.folder, how)
    with pytest.raises(ValueError, match=r"something else|not a JSON|format 99|damaged") as e:
        fresh = DocumentIndex(index.folder, encode, model="m")
        fresh.query(JOB, "resume")
        fresh.verify()
    assert len(str(e.value)) < 500


def newest(table):
    return min((table / "_versions").glob("*.manifest"))  # their names count down


LOST = {  # what is deleted, and what the sentence names
    "newest manifest": (lambda t: newest(t).unlink(), "newest that is left is 4"),
    "all manifests": (lambda t: [p.unlink() for p in (t / "_versions").glob("*.manifest")],
                      "no manifest is left"),
    "table": (shutil.rmtree, "has lost resumes"),
    "a data file": (lambda t: min((t / "data").iterdir()).unlink(), ".lance is missing"),
    "a deletion file": (lambda t: min((t / "_deletions").iterdir()).unlink(), ".arrow is missing"),
}  # fmt: skip


@pytest.mark.parametrize("how", LOST)
def test_what_a_table_has_lost_is_named(index, how):
    index.config = IndexConfig(batch=5)
    index.add(resume(n) for n in range(20))
    index.delete(["r3"], "resume")
    assert index.verify()["resume"]["rows"] == 19
    lose, said = LOST[how]
    lose(index.folder / "tables" / "resume.lance")
    fresh = DocumentIndex(index.folder, encode, model="m")
    with pytest.raises(ValueError, match="Restore the folder from a copy, or delete it") as e:
        fresh.verify()
    assert said in str(e.value) and len(str(e.value)) < 600
    with pytest.raises(ValueError, match="damaged"):
        fresh.query(JOB, "resume")
    if "manifest" in how or how == "table":
        with pytest.raises(ValueError, match="damaged"):  # no commit hides the loss
            fresh.add([resume(99)])


def test_a_lost_file_of_an_approximate_index_is_named(tmp_path):
    config = IndexConfig(exact_up_to=1000, rows_per_partition=200)
    index = DocumentIndex(tmp_path / "i", model="m", config=config)
    x = np.random.default_rng(0).normal(size=(1100, 8)).astype("float32")
    docs = [Document(id=f"r{n}", kind="resume") for n in range(1100)]
    index.add_rows(document_rows(docs, x / np.linalg.norm(x, axis=1, keepdims=True)))
    index.optimize()
    assert index.verify()["resume"]["search"] == "IVF_SQ"
    files = sorted((tmp_path / "i" / "tables" / "resume.lance" / "_indices").rglob("*.*"))
    assert len(files) == 4
    for path in files:
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(ValueError, match=f"{path.name} is missing"):
            DocumentIndex(tmp_path / "i").verify()
        path.write_bytes(data)


def test_an_older_index_and_its_copy_still_open(index, tmp_path):
    index.add([resume(n) for n in range(5)])
    meta = read_json(index.folder / "index.json")
    assert meta.pop("versions") == {"resume": 1}
    (index.folder / "index.json").write_text(json.dumps(meta))
    assert DocumentIndex(index.folder, encode, model="m").verify()["resume"]["rows"] == 5
    index.add([resume(9)])
    index.compact()
    assert read_json(index.folder / "index.json")["versions"] == {"resume": 1}
    shutil.copytree(index.folder, tmp_path / "copy")
    assert DocumentIndex(tmp_path / "copy").verify()["resume"]["rows"] == 6
    for bad in ([1], {"resume": "1"}):
        (tmp_path / "copy" / "index.json").write_text(json.dumps(meta | {"versions": bad}))
        with pytest.raises(ValueError, match="is damaged: no versions"):
            read_index(tmp_path / "copy")


@pytest.mark.parametrize("huge", [10**9, 10**18, 10**40])
def test_huge_numbers_take_no_memory_and_odd_ones_are_refused(index, huge):
    index.add([resume(n) for n in range(5)])
    assert len(index.query(JOB, "resume", huge)) == 5
    assert len(index.query(JOB, "resume", 2, nprobes=huge, refine=huge)) == 2
    for bad in (dict(top_k=0), dict(top_k=2.5), dict(top_k=float("nan")), dict(nprobes=-1),
                dict(refine=-1)):  # fmt: skip
        with pytest.raises(ValueError, match="must be a whole number >= 1"):
            index.query(JOB, "resume", **bad)


def test_half_characters_are_refused_with_a_sentence(index):
    index.add([resume(1)])
    odd = "r\udce9"
    for act in (lambda: index.add([Document(id=odd, kind="resume")]),
                lambda: index.add([Document(id="a", kind="resume", title=odd)]),
                lambda: index.delete([odd], "resume"),
                lambda: index.query(JOB, "resume", where={"category": odd}),
                lambda: DocumentIndex(index.folder / odd, encode, model="m")):  # fmt: skip
        with pytest.raises(ValueError, match="is no Unicode text"):
            act()
    assert index.count() == 1


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    assert read_index(tmp_path / "empty") is None and read_index(tmp_path / "none") is None
    with pytest.raises(ValueError, match="holds something else"):
        DocumentIndex(tmp_path, encode, model="m").build([resume(1)])
    with pytest.raises(ValueError, match="is a file"):
        DocumentIndex(tmp_path / "notes.txt", encode, model="m")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    index = DocumentIndex(tmp_path / "empty", encode, model="m")
    assert index.count() == 0 and index.query(JOB, "resume") == []
    index.add([resume(1)])
    assert read_json(tmp_path / "empty" / "index.json")["model"] == "m"


def test_vectors_without_their_model_are_refused(tmp_path):
    with pytest.raises(ValueError, match="needs a name for its model"):
        DocumentIndex(tmp_path / "i", encode)
    with pytest.raises(ValueError, match="their model's version"):
        DocumentIndex(tmp_path / "i").add_rows(document_rows([resume(1)], encode([resume(1)])))
    with pytest.raises(ValueError, match="adding needs an encoder"):
        DocumentIndex(tmp_path / "i", model="m").add([resume(1)])
    with pytest.raises(ValueError, match="must have length 1"):
        DocumentIndex(tmp_path / "i", lambda d: 3 * encode(d), model="m").add([resume(1)])


@pytest.mark.parametrize("said", ["No space left on device (os error 28)",
                                  "File too large (os error 27)",
                                  "Permission denied (os error 13)"])
def test_a_full_disk_is_no_damaged_table(index, said):
    """Whoever is told to delete the folder loses what is whole."""
    index.add([resume(1)])
    with pytest.raises(ValueError, match="What was written before") as e, _sentence(
            index.folder, "writing to"):
        raise RuntimeError(f"lance error: LanceError(IO): {said}, lance.rs")
    assert said.split(" (")[0] in str(e.value) and "delete" not in str(e.value)
