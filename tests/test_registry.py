"""Twins and TEST ONLY texts: found in every disguise, strangers left alone, no text given away."""

import importlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from resume_contrastive.documents import Document, read_file
from resume_contrastive.registry import (
    LEAK,
    TWIN,
    LeakError,
    TestRegistry,
    _candidates,
    containment,
    drop_leaks,
    leakage_report,
    letter_grams,
    near_duplicates,
    refuse_leaks,
)

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
REQUIRED = ("verbatim", "reordered", "re-extracted", "20 % of words changed")


@pytest.fixture(scope="module")
def disguises():
    "The ways of hiding a text that the record of the real data was made with"
    if not SCRIPTS.is_dir():
        pytest.skip("scripts/ is not installed")
    sys.path.insert(0, str(SCRIPTS))
    yield importlib.import_module("plants").PLANTS
    sys.path.remove(str(SCRIPTS))


def doc(id, text, kind="resume"):
    name = "experience" if kind == "resume" else "about"
    return Document(id=id, kind=kind, sections={name: text})


def reordered(text, rng, vocabulary):
    lines = text.split("\n")
    rng.shuffle(lines)
    return "\n".join(lines)


def extracted(text, rng, vocabulary):
    return "".join(w + rng.choice([" ", "", "\n", "-\n", "  "]) for w in text.split())


def wrapped(text, rng, vocabulary):
    return " ".join([*rng.choices(vocabulary, k=300), text, *rng.choices(vocabulary, k=300)])


def plants(secret, change, words, seed=0):
    return [doc(d.id, change(d.text, random.Random(f"{seed}:{d.id}"), words)) for d in secret]


@pytest.mark.parametrize("kind", [*REQUIRED, "wrapped"])
def test_no_plant_is_missed(resumes, disguises, kind):
    secret = resumes[::5]
    assert len(secret) >= 50
    registry = TestRegistry().add(secret, "held out")
    words = [w for d in resumes[1::5] for w in d.text.split()]
    found = registry.find(plants(secret, disguises[kind], words))
    assert [x.document_id for x in found] == [d.id for d in secret]
    assert sum(x.registered_id == x.document_id for x in found) == len(secret)


def test_the_plants_are_what_they_say(resumes, disguises):
    text, words = resumes[0].text, [w for d in resumes[50:] for w in d.text.split()]
    made = {k: f(text, random.Random(0), words) for k, f in disguises.items()}
    flat = text.split()
    assert made["verbatim"].lower().split() == [w.lower() for w in flat]
    assert sorted(made["reordered"].split()) == sorted(flat) and made["reordered"] != text
    changed = sum(a != b for a, b in zip(flat, made["20 % of words changed"].split(), strict=True))
    assert changed == round(0.2 * len(flat))
    assert len(made["re-extracted"].split()) < len(flat) and "-\n" in made["re-extracted"]
    assert text in made["wrapped"] and len(made["wrapped"].split()) == 5 * len(flat)


def test_one_plant_among_others_is_refused_without_quoting_it(resumes):
    registry = TestRegistry().add(resumes[:5], "held out")
    vocabulary = [w for d in resumes[50:] for w in d.text.split()]
    plant = doc("innocent", wrapped(resumes[3].text, random.Random(0), vocabulary))
    with pytest.raises(LeakError) as e:
        refuse_leaks([doc("clean", "Something else entirely. " * 30), plant], registry)
    message = str(e.value)
    assert message.startswith("1 document must not be trained on")
    assert f"innocent ~ held out/{resumes[3].id} (wrapped" in message
    assert "clean ~" not in message and resumes[3].sections["summary"][:30] not in message
    assert [x.document_id for x in e.value.leaks] == ["innocent"]
    kept, leaks = drop_leaks([doc("clean", "Something else entirely. " * 30), plant], registry)
    assert [d.id for d in kept] == ["clean"] and len(leaks) == 1


def test_strangers_and_jobs_raise_no_alarm(resumes, jobs):
    registry = TestRegistry().add(resumes[:40], "held out")
    assert registry.find(jobs) == []
    # the generator draws from a bank of sentences, so its resumes share more than real ones do
    assert len(registry.find(resumes[40:])) <= 0.02 * len(resumes[40:])


def test_an_empty_registry_and_an_empty_document():
    refuse_leaks([doc("a", "some text")], TestRegistry())
    assert TestRegistry().add([doc("t", "text " * 50)], "t").find([doc("a", "x")]) == []


def test_short_texts_match_by_words_only():
    registry = TestRegistry().add([doc("t", "Cook, clean, serve")], "t")
    found = registry.find([doc("a", "COOK - clean; serve!"), doc("b", "Cook, clean, serve, drive")])
    assert [(x.document_id, x.how) for x in found] == [("a", "verbatim")]


def test_the_file_holds_no_text_and_reads_back(tmp_path, resumes):
    registry = TestRegistry().add(resumes[:3], "held out")
    registry.save(tmp_path / "a.json")
    TestRegistry.load(tmp_path / "a.json").save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    text = (tmp_path / "a.json").read_text()
    assert not any(w in text for w in ("Summary", "Experience", "Company"))
    plant = [doc("p", resumes[1].text)]
    assert TestRegistry.load(tmp_path / "a.json").find(plant) == registry.find(plant)
    value = json.loads(text) | {"gram": 7}
    (tmp_path / "c.json").write_text(json.dumps(value))
    with pytest.raises(ValueError, match="no registry of this version"):
        TestRegistry.load(tmp_path / "c.json")
    with pytest.raises(ValueError, match="give the set a name"):
        registry.add([], "")


def test_hashes_are_the_same_in_every_process():
    code = ("from resume_contrastive.registry import letter_grams\n"
            "print(letter_grams('Closed the books of nine plants, Ünïcode', keep=1).sum())")
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           env={**os.environ, "PYTHONHASHSEED": s}).stdout for s in "12"]
    here = letter_grams("Closed the books of nine plants, Ünïcode", keep=1).sum()
    assert runs[0] == runs[1] == f"{here}\n"


def test_containment_is_exact_and_symmetric():
    a, b = np.arange(10, dtype=np.uint64), np.arange(5, 25, dtype=np.uint64)
    assert containment(a, b) == containment(b, a) == 0.5


def test_near_duplicates_agree_with_all_pairs(resumes, jobs, disguises):
    rng, vocabulary = random.Random(2), [w for d in jobs for w in d.text.split()]
    hide = [extracted, reordered, wrapped, disguises["20 % of words changed"], str]
    docs = [doc(d.id, d.text) for d in resumes[:60]]
    docs += [doc(f"{d.id}+", f(d.text, rng, vocabulary) if f is not str else d.text) for d, f in
             zip(resumes[:30], hide * 6, strict=True)]
    grams = {d.id: letter_grams(d.text) for d in docs}
    linked = {(a.id, b.id) for i, a in enumerate(docs) for b in docs[:i]
              if containment(grams[a.id], grams[b.id]) >= TWIN}
    clusters = near_duplicates(docs)
    together = [next((c for c in clusters if a in c), {a}) for a, _ in linked]
    assert all(b in c for (_, b), c in zip(linked, together, strict=True))
    assert sum(len(c) - 1 for c in clusters) <= len(linked)
    assert {frozenset((d.id, f"{d.id}+")) for d in resumes[:30]} <= {
        frozenset(p) for c in clusters for x in c for y in c if x < y for p in [(x, y)]}


def test_candidates_do_not_depend_on_the_size_of_a_block(jobs):
    texts = [f"{d.text} Posted again, reference {n}" for d in jobs[:30] for n in range(3)]
    grams = [letter_grams(t) for t in texts]
    whole = _candidates(grams)
    assert len(whole) >= 90 and all(i < j for i, j in whole)
    assert sorted(_candidates(grams, block=7)) == sorted(whole)


def test_a_shared_phrase_makes_no_twins():
    phrase = "We are an equal opportunity employer and welcome everybody who applies"
    short = [doc(f"d{i}", f"{phrase} {random.Random(i).getrandbits(600):x}") for i in range(9)]
    assert near_duplicates(short) == []
    assert leakage_report(short[:4], short[4:], threshold=0.01).empty


def test_near_duplicates_of_many_copies_and_bad_input(jobs):
    copies = [doc(f"c{i:03}", f"{jobs[0].text} Posted again, reference {i * i}")
              for i in range(200)]
    assert near_duplicates(copies) == [{d.id for d in copies}]
    assert near_duplicates([]) == []
    with pytest.raises(ValueError, match="'c000' occurs more often"):
        near_duplicates([copies[0], copies[0]])
    with pytest.raises(ValueError, match="threshold must be above 0"):
        near_duplicates(copies, threshold=0)


def test_leakage_report(resumes):
    table = leakage_report(resumes[:10], resumes[5:15])
    same = table[table.how == "verbatim"]
    assert sorted(same.a_id) == sorted(d.id for d in resumes[5:10])
    assert (same.a_id == same.b_id).all()
    assert list(table.columns) == ["a_id", "b_id", "similarity", "how"]
    assert leakage_report(resumes[:3], []).empty
    some = resumes[:40]
    assert len(leakage_report(some, some, threshold=1)) < len(
        leakage_report(some, some, threshold=LEAK))
    with pytest.raises(ValueError, match="threshold must be above 0"):
        leakage_report([], [], threshold=0)


@pytest.fixture(scope="module")
def held(real_data):
    "The TEST ONLY resumes: PDFs by their ids in the table, and CVs"
    pdfs = [read_file(p, "resume") for p in sorted(real_data.glob("resume/*/*.pdf"))]
    docx = [read_file(p, "resume") for p in sorted(real_data.glob("vacancy-resume/CV/*.docx"))]
    return pdfs, docx


@pytest.fixture(scope="module")
def table(real_data):
    "The texts of the resume table, as they stand in the file"
    rows = pd.read_csv(real_data / "kaggle" / "Resume.csv", dtype=str)
    return [doc(i, t) for i, t in zip(rows.ID, rows.Resume_str, strict=True)]


@pytest.mark.real
def test_all_test_pdfs_are_found_in_the_csv(held, table):
    pdfs, docx = held
    assert len(pdfs) == 72 and len(docx) >= 65
    kept, leaks = drop_leaks(table, TestRegistry().add(pdfs, "pdf").add(docx, "vacancy"))
    ids = {d.id for d in pdfs}
    assert {x.document_id for x in leaks if x.document_id == x.registered_id} == ids
    assert min(x.similarity for x in leaks if x.document_id in ids) > 0.9
    alarms, strangers = len(leaks) - len(ids), len(table) - len(ids)
    assert binomtest(alarms, strangers).proportion_ci().high < 0.01
    assert len(kept) == len(table) - len(leaks) and not ids & {d.id for d in kept}


@pytest.mark.real
@pytest.mark.parametrize("kind", REQUIRED)
def test_no_plant_of_a_real_text_is_missed(held, table, disguises, kind):
    secret = [d for side in held for d in side]
    words = [w for d in table[::20] for w in d.text.split()]
    registry = TestRegistry().add(secret, "held out")
    found = registry.find(plants(secret, disguises[kind], words))
    assert [x.document_id for x in found] == [d.id for d in secret] and len(found) >= 137
