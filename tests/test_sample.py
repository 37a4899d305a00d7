"""The sample corpus: what the generator writes, what it promises, and that nothing else is there.

The generator needs only the standard library. No test here reads the real data sets.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import importlib
import io
import json
import re
import sys
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data" / "sample"
SCRIPTS = ROOT / "scripts"
CORPUS_SHA256 = "f735d8b32aaeb9326e121678f999d81bbdb011a0dbf057cc8e40e7163ebbf495"
pytestmark = pytest.mark.skipif(not SCRIPTS.is_dir(), reason="scripts/ is not installed")


def rows(name: str) -> list[dict[str, str]]:
    """A CSV file of the sample as dicts."""
    with (SAMPLE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def generator():
    """The module scripts/make_sample.py."""
    sys.path.insert(0, str(SCRIPTS))
    yield importlib.import_module("make_sample")
    sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def built(generator) -> dict[str, bytes]:
    return generator.build()


@pytest.fixture(scope="module")
def people(generator):
    """The roles and the resumes with their truth."""
    roles = generator.load_roles()
    return roles, generator.make_resumes(roles)


@pytest.fixture(scope="module")
def resumes() -> dict[str, dict]:
    return {row["ID"]: row for row in rows("resumes.csv")}


@pytest.fixture(scope="module")
def jobs() -> dict[str, dict]:
    return {row["job_id"]: row for row in rows("jobs.csv")}


@pytest.fixture(scope="module")
def labels() -> list[dict]:
    return rows("labels.csv")


def graded(labels: list[dict]) -> dict[str, dict[str, list[str]]]:
    """Resume ids by job and label."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in labels:
        found[row["job_id"]][row["label"]].append(row["resume_id"])
    return found


# ---------------------------------------------------------------- bytes


def test_folder_holds_what_the_generator_writes(generator, built):
    assert generator.read_folder(SAMPLE) == built
    assert generator.main(["--check"]) == 0


def test_corpus_hash(generator, built):
    assert generator.corpus_hash(built) == CORPUS_SHA256


def test_second_build_gives_the_same_bytes(generator, built):
    assert generator.build() == built


def test_check_finds_changed_missing_and_foreign_files(
    generator, built, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(generator, "build", lambda: built)
    assert generator.main(["--out", str(tmp_path), "--check"]) == 1
    generator.write(built, tmp_path)
    assert generator.main(["--out", str(tmp_path), "--check"]) == 0
    for change in ("edit", "remove", "add"):
        path = tmp_path / ("foreign.txt" if change == "add" else "jobs.csv")
        if change == "remove":
            path.unlink()
        else:
            path.write_bytes(b"something else")
        capsys.readouterr()
        assert generator.main(["--out", str(tmp_path), "--check"]) == 1
        assert f"differs: {path.name}" in capsys.readouterr().out
        path.unlink(missing_ok=True)
        generator.write(built, tmp_path)


def test_manifest_names_every_other_file_with_its_hash():
    manifest = json.loads((SAMPLE / "manifest.json").read_text())
    names = {p.relative_to(SAMPLE).as_posix() for p in SAMPLE.rglob("*") if p.is_file()}
    assert set(manifest["sha256"]) == names - {"manifest.json"}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((SAMPLE / name).read_bytes()).hexdigest() == digest
    assert manifest["counts"]["resumes"] == len(rows("resumes.csv"))


def test_corpus_is_small():
    sizes = [p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file()]
    assert sum(sizes) < 3_000_000
    assert (SAMPLE / "labels.csv").stat().st_size < 1_000_000


# ---------------------------------------------------------------- resumes and jobs


def test_counts_and_columns(resumes, jobs):
    assert len(resumes) >= 240 and len(jobs) >= 120
    assert len({r["Category"] for r in resumes.values()}) == 10
    assert list(next(iter(resumes.values()))) == ["ID", "Resume_str", "Category"]
    public = ["company_name", "position_title", "job_description", "description_length", "source"]
    assert list(next(iter(jobs.values()))) == ["job_id", *public]
    assert all(int(j["description_length"]) == len(j["job_description"]) for j in jobs.values())


def test_lengths_spread_over_the_promised_range(resumes, jobs):
    lengths = np.array([len(r["Resume_str"].split()) for r in resumes.values()])
    assert 200 <= lengths.min() < 320 and 780 < lengths.max() <= 900
    assert lengths.std() > 120
    adverts = np.array([len(j["job_description"].split()) for j in jobs.values()])
    assert 150 <= adverts.min() < 220 and 400 < adverts.max() <= 500


def test_first_line_is_the_title_in_capitals(resumes):
    first = [r["Resume_str"].split("\n")[0] for r in resumes.values()]
    assert all(line == line.upper() and 1 <= len(line.split()) <= 6 for line in first)
    assert len(set(first)) > 60


def test_contacts_in_about_half_and_never_real(resumes, jobs):
    texts = [r["Resume_str"] for r in resumes.values()]
    share = np.mean(["@" in text for text in texts])
    assert 0.4 < share < 0.6
    everything = "\n".join([*texts, *(j["job_description"] for j in jobs.values())])
    mails = re.findall(r"[\w.+-]+@[\w.-]+\w", everything)
    assert mails and all(re.fullmatch(r".+@example\.(com|org)", mail) for mail in mails)
    phones = re.findall(r"555-\d{4}", everything)
    assert phones and all(re.fullmatch(r"555-01\d\d", phone) for phone in phones)
    assert not re.search(r"https?://|www\.", everything)


def test_no_slot_is_left_open(resumes, jobs):
    texts = [r["Resume_str"] for r in resumes.values()]
    texts += [j["job_description"] for j in jobs.values()]
    assert not [t for t in texts if re.search(r"[{}*]\w|\w\}", t.replace("\n* ", "\n"))]


def test_defects_are_there_in_a_minority(resumes, jobs):
    texts = [r["Resume_str"] for r in resumes.values()]
    patterns = {"mojibake": "â€|Ã", "entity": "&amp;|&#x27;", "blank line": "\n\n"}
    patterns["placeholder"] = "City , State"
    for name, pattern in patterns.items():
        share = np.mean([bool(re.search(pattern, text)) for text in texts])
        assert 0 < share < 0.45, name
    titles = [j["position_title"] for j in jobs.values()]
    assert titles.count("") == 2
    bodies = Counter(j["job_description"] for j in jobs.values())
    assert sorted(bodies.values())[-2:] == [2, 2]
    near = [b for b in bodies if any(b != o and b.startswith(o) for o in bodies)]
    assert len(near) == 3
    blocks = [b for b in bodies if "\n" not in b]
    assert 5 < len(blocks) < 60


def test_resumes_differ_from_each_other(resumes):
    def shingles(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return set(zip(*(words[i:] for i in range(5)), strict=False))

    by_category: dict[str, list[set]] = defaultdict(list)
    for row in resumes.values():
        by_category[row["Category"]].append(shingles(row["Resume_str"]))
    worst = max(
        len(a & b) / len(a | b)
        for group in by_category.values()
        for i, a in enumerate(group)
        for b in group[:i]
    )
    assert worst < 0.35


# ---------------------------------------------------------------- truth


def test_one_category_has_no_job(resumes, jobs, labels):
    manifest = json.loads((SAMPLE / "manifest.json").read_text())
    alone = manifest["category_without_jobs"]
    ids = {i for i, r in resumes.items() if r["Category"] == alone}
    assert len(ids) >= 20
    assert not [r for r in labels if r["resume_id"] in ids and float(r["role"]) == 1]


def test_all_same_role_pairs_are_labelled(resumes, jobs, labels):
    keys = Counter((r["resume_id"], r["job_id"]) for r in labels)
    assert max(keys.values()) == 1
    sizes = Counter(r["Category"] for r in resumes.values())
    for job, groups in graded(labels).items():
        same = groups["2"] + groups["3"]
        category = {resumes[i]["Category"] for i in same}
        assert len(category) == 1 and len(same) == sizes[category.pop()], job
    assert {r["job_id"] for r in labels} == set(jobs)


def test_labels_follow_role_and_fit(labels):
    for row in labels:
        role, fit, label = float(row["role"]), float(row["fit"]), int(row["label"])
        assert 0 <= fit <= 1
        assert {0: 0.0, 1: 0.5, 2: 1.0, 3: 1.0}[label] == role
        assert label != 3 or fit >= 0.75
    assert {row["label"] for row in labels} == {"0", "1", "2", "3"}


def test_every_job_has_matched_and_near_miss(labels):
    for job, groups in graded(labels).items():
        assert len(groups["3"]) >= 2, job
        assert len(groups["2"]) >= 3, job


def test_resume_names_only_skills_it_has_or_disclaims(people):
    roles, written = people
    for resume in written:
        role, facts = roles[resume.category], resume.facts
        body = "\n".join(text for _, lines in resume.sections for _, text in lines)
        assert role.mentions(body) <= facts.skills | set(facts.lacks), resume.number
        assert not facts.skills & set(facts.lacks)


def shows(hint: str, body: str) -> bool:
    """Whether a text holds a sentence of the tables, its slots filled, in some tense."""
    text = importlib.import_module("sample_text")
    for is_past in (True, False):
        rest = text.in_tense(hint, is_past).split(" ", 1)[1].rstrip(".")
        pattern = re.sub(r"(\ba\\ )?\\{\w+\\}", ".+?", re.escape(rest))
        if re.search(pattern, body):
            return True
    return False


def test_every_skill_is_shown_somehow(people):
    roles, written = people
    by_hint = 0
    for resume in written:
        role, facts = roles[resume.category], resume.facts
        body = "\n".join(text for _, lines in resume.sections for _, text in lines)
        named = role.mentions(body)
        implied = {i for n in facts.skills for i in role.closure({n}) - {n}}
        for name in facts.skills - named - implied:
            assert any(shows(hint, body) for hint in role.skills[name].hints), (resume.number, name)
            by_hint += 1
    assert by_hint > 200


def pairwise_accuracy(scores: dict[tuple[str, str], float], labels: list[dict]) -> float:
    """How often a matched resume scores above a near-miss of the same job; ties count half."""
    shares = []
    for job, groups in graded(labels).items():
        high = np.array([scores[i, job] for i in groups["3"]])[:, None]
        low = np.array([scores[i, job] for i in groups["2"]])[None, :]
        shares.append(((high > low) + 0.5 * (high == low)).mean())
    return float(np.mean(shares))


@pytest.mark.parametrize("options", [{}, {"sublinear_tf": True, "ngram_range": (1, 2)}])
def test_lexical_overlap_does_not_solve_fit(resumes, jobs, labels, options):
    text = pytest.importorskip("sklearn.feature_extraction.text")
    left = [r["Resume_str"] for r in resumes.values()]
    right = [j["job_description"] for j in jobs.values()]
    model = text.TfidfVectorizer(**options).fit(left + right)
    dense = (model.transform(left) @ model.transform(right).T).toarray()
    scores = {(i, j): dense[a, b] for a, i in enumerate(resumes) for b, j in enumerate(jobs)}
    assert 0.5 < pairwise_accuracy(scores, labels) < 0.75


def test_length_does_not_tell_matched_from_near_miss(resumes, labels):
    length = {i: len(r["Resume_str"].split()) for i, r in resumes.items()}
    scores = {(r["resume_id"], r["job_id"]): length[r["resume_id"]] for r in labels}
    assert 0.42 < pairwise_accuracy(scores, labels) < 0.58


# ---------------------------------------------------------------- files


def test_documents_come_as_pdf_and_docx(resumes):
    stems = {p.stem for p in (SAMPLE / "documents").glob("resume-*.pdf")}
    assert len(stems) == 12
    assert stems == {p.stem for p in (SAMPLE / "documents").glob("resume-*.docx")}
    assert all(str(10_000_000 + int(s.split("-")[1])) in resumes for s in stems)
    for path in (SAMPLE / "documents").glob("*.docx"):
        with zipfile.ZipFile(path) as package:
            assert package.testzip() is None
            assert "word/document.xml" in package.namelist()


def test_documents_hold_the_words_of_the_table(resumes):
    pdfium = pytest.importorskip("pypdfium2")
    docx = pytest.importorskip("docx")
    for path in (SAMPLE / "documents").glob("resume-*.pdf"):
        pages = pdfium.PdfDocument(path)
        pdf = " ".join(page.get_textpage().get_text_range() for page in pages)
        package = docx.Document(str(path.with_suffix(".docx")))
        word = " ".join(package.element.itertext())
        row = resumes[str(10_000_000 + int(path.stem.split("-")[1]))]["Resume_str"]
        words = {w for w in re.findall(r"[a-z]{5,}", row.lower()) if w not in ("company", "state")}
        for text in (pdf, word):
            found = set(re.findall(r"[a-z]{5,}", text.lower()))
            assert len(words & found) > 0.9 * len(words), path


def test_job_file_is_one_of_the_jobs(jobs):
    manifest = json.loads((SAMPLE / "manifest.json").read_text())
    job = jobs[manifest["job_file"]]
    text = (SAMPLE / "documents" / "job.txt").read_text(encoding="utf-8")
    assert text.startswith(job["position_title"]) and job["job_description"] in text


def test_rankings_have_the_public_form_and_its_defects():
    folder = SAMPLE / "rankings"
    assert len(list((folder / "CV").glob("*.docx"))) == 12
    raw = (folder / "annotations-for-the-first-30-vacancies.txt").read_bytes()
    assert raw.isascii() and b"\r\n" in raw
    text = raw.decode()
    first, second = (
        ast.literal_eval(re.search(rf"ANNOTATOR_{n}_RANKINGS=\s*(\[.*?\]\])", text, re.S)[1])
        for n in (1, 2)
    )
    assert "There are 12 arrays" in text and len(first) == 12 and len(second) == 8
    broken = [row for row in first if sorted(row) != [1, 2, 3, 4, 5]]
    assert len(broken) == 1 and all(len(row) == 5 for row in first + second)
    vacancies = list(csv.DictReader(io.StringIO(
        (folder / "5_vacancies.csv").read_text(encoding="utf-8"))))  # fmt: skip
    assert list(vacancies[0]) == ["id", "job_description", "job_title", "uid"]
    assert len(vacancies) == 5 and all(len(v["uid"]) == 32 for v in vacancies)


def test_occupation_tables():
    codes = {row["O*NET-SOC Code"] for row in rows("onet/occupations.csv")}
    assert len(codes) == 10
    for name, least in (("alternate_titles", 8), ("tasks", 8), ("technology_skills", 10)):
        counts = Counter(row["O*NET-SOC Code"] for row in rows(f"onet/{name}.csv"))
        assert set(counts) == codes and min(counts.values()) >= least
    columns = ["O*NET-SOC Code", "Title", "Example", "Commodity Title", "Hot Technology"]
    assert list(rows("onet/technology_skills.csv")[0]) == columns
