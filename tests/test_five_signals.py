"""The hand-tuned pipeline on the installed package."""

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resume_contrastive.documents import Document, document_from_text
from resume_contrastive.extractors import Tagged, Taggers
from resume_contrastive.five_signals import (
    WEIGHTS,
    FiveSignals,
    document_frequencies,
    priority_text,
)

DATA = os.environ.get("RESUME_CONTRASTIVE_DATA")


def flat(value):
    return lambda resumes, jobs: np.full((len(resumes), len(jobs)), value)


COOK = Document(id="cook", kind="resume", title="Cook", sections={
    "experience": "Baking and menu planning for a hotel", "education": "Culinary diploma",
    "skills": "Baking, menu planning, payroll"})
DRIVER = Document(id="driver", kind="resume", title="Driver", sections={
    "experience": "Drove a forklift in a warehouse"})
JOB = Document(id="job", kind="job", title="Cook", sections={
    "about": "A hotel", "benefits": "Forklift",
    "requirements": "Baking, menu planning and payroll"})
OTHER = Document(id="other", kind="job", title="Driver", sections={"about": "Forklift, warehouse"})


def test_score_is_the_weighted_sum_and_lies_on_0_to_100():
    five = FiveSignals(flat(0.5), background=[COOK, DRIVER, JOB, OTHER])
    signals = five.signals([COOK, DRIVER], [JOB, OTHER])
    assert list(signals) == ["semantic", "tfidf", "keyword", "skill", "section"]
    assert list(WEIGHTS.values()) == [0.3, 0.2, 0.2, 0.2, 0.1]
    for value in signals.values():
        assert value.shape == (2, 2) and (value >= 0).all() and (value <= 1).all()
    scores = five([COOK, DRIVER], [JOB, OTHER])
    np.testing.assert_allclose(scores, 100 * sum(WEIGHTS[k] * v for k, v in signals.items()))
    np.testing.assert_allclose(scores, five.score_matrix([COOK, DRIVER], [JOB, OTHER]))
    assert scores[0, 0] > scores[1, 0] and scores[1, 1] > scores[0, 1]


def test_perfect_and_empty():
    same = "Baking, menu planning and payroll"
    full = Document(id="f", kind="resume", title="Cook", sections={
        "experience": same + " cook", "education": same, "skills": same + " cook"})
    ask = Document(id="a", kind="job", title="Cook", sections={
        "requirements": same, "responsibilities": same})
    signals = FiveSignals(flat(1.0), background=[]).signals([full], [ask])
    assert signals["keyword"] == 1 and signals["skill"] == 1 and signals["section"] == 1
    blank = Document(id="b", kind="resume", sections={"other": "the of and"})
    signals = FiveSignals(flat(-1.0)).signals([blank], [Document(id="c", kind="job")])
    assert all(v == 0 for v in signals.values())


@pytest.mark.parametrize(("name", "better", "worse"), [
    ("skill", "Payroll", "No experience with payroll"),
    ("keyword", "Payroll", "Gardening"),
    ("tfidf", "Payroll and baking", "Gardening"),
])
def test_each_signal_moves_the_right_way(name, better, worse):
    docs = [Document(id=t, kind="resume", sections={"skills": t}) for t in (better, worse)]
    value = FiveSignals(flat(0), background=[JOB]).signals(docs, [JOB])[name]
    assert value[0, 0] > value[1, 0]


def test_a_background_makes_pairs_independent():
    five = FiveSignals(flat(0.3), background=[COOK, JOB])
    alone = five([COOK], [JOB])[0, 0]
    np.testing.assert_allclose(five([DRIVER, COOK], [OTHER, JOB])[1, 1], alone)
    np.testing.assert_allclose(five.explain(COOK, JOB)["score"], alone)


def test_benefits_ask_nothing():
    assert "Forklift" not in priority_text(JOB)
    skill = FiveSignals(flat(0)).signals([DRIVER], [JOB])["skill"]
    assert skill[0, 0] == 0


def test_explanation_has_evidence_and_no_sentences():
    told = FiveSignals(flat(0.3), background=[COOK, JOB]).explain(COOK, JOB)
    json.dumps(told)
    assert np.isclose(sum(s["points"] for s in told["signals"].values()), told["score"])
    skill = told["signals"]["skill"]["evidence"]
    place = skill["matched"]["Payroll"]
    assert COOK.sections[place["section"]][place["start"]:place["end"]] == "payroll"
    assert COOK.sections["experience"] not in json.dumps(told)


# Worked by hand with every idf at 1 (an empty background) and a semantic signal of .5. Words of a
# text: section names count, English function words don't. Columns: the resume's sections, the
# job's, then tfidf, keyword, skill, section and the score, 30 x .5 + 20 x each + 10 x section.
SKILLS = {"skills": "Java"}
WORKED = {
    # tfidf: (skills java)(requirements java) = 1/2. section: 1/2 x 1/3 + 1/2 x (0 + 1)/2
    "shown": (SKILLS, {"requirements": "Java"}, 0.5, 1, 1, 0.417, 69.167),
    # denied: only TF-IDF counts it, 1/sqrt(3 x 2); section: 1/2 x 1/3
    "denied": ({"skills": "No experience with Java"}, {"requirements": "Java"},
               0.408, 0, 0, 0.167, 24.832),
    # the clause ends at the comma; 'degree' is denied, so 3 keywords: essential, java, required
    "a clause": (SKILLS, {"requirements": "no degree required, but Java is essential"},
                 0.316, 0.333, 1, 0.25, 50.491),
    # required 1, preferred .5: 1/1.5 and .5/1.5
    "required": ({"skills": "Python"}, {"requirements": "Python", "preferred": "Kafka"},
                 0.354, 0.5, 0.667, 0.417, 49.571),
    "preferred": ({"skills": "Kafka"}, {"requirements": "Python", "preferred": "Kafka"},
                  0.354, 0.5, 0.333, 0.167, 40.404),
    # 'plus' is a keyword too: 1 of 3, also in the requirements
    "a plus": ({"skills": "Python"}, {"requirements": "Python. Kafka is a plus"},
               0.354, 0.333, 0.667, 0.25, 44.571),
    # Django implies Python at half credit, unless Python is denied
    "implied": ({"skills": "Django"}, {"requirements": "Python"}, 0, 0, 0.5, 0.167, 26.667),
    "implied, denied": ({"skills": "Django. No experience with Python"},
                        {"requirements": "Python"}, 0.354, 0, 0, 0.167, 23.738),
    "benefits ask nothing": ({"skills": "Yoga"}, {"about": "Forklift", "benefits": "Yoga"},
                             0.408, 0, 0, 0.167, 24.832),
    # priority sections: the words of 'about' are no keywords where there are requirements, and its
    # skills are preferred: .5/1.5
    "priority": ({"skills": "Forklift"}, {"about": "Forklift", "requirements": "Java"},
                 0.408, 0, 0.333, 0.167, 31.498),
    # tf of java is 1 + ln 2 on both sides: 2.867 / sqrt(6.867 x 4.867)
    "complete": ({"experience": "Java", "education": "BSc", "skills": "Java"},
                 {"responsibilities": "Java", "requirements": "Java"}, 0.496, 1, 1, 1, 74.917),
    "nothing": ({"other": "the of and"}, {"requirements": "Java"}, 0, 0, 0, 0, 15),
}


@pytest.mark.parametrize("name", WORKED)
def test_worked_by_hand(name):
    resume, job, *expected = WORKED[name]
    r = Document(id="r", kind="resume", sections=resume)
    j = Document(id="j", kind="job", sections=job)
    five = FiveSignals(flat(0.5), background=[], taggers=Taggers())
    got = {k: v[0, 0] for k, v in five.signals([r], [j]).items()}
    assert [round(float(got[k]), 3) for k in ("tfidf", "keyword", "skill", "section")] == [
        pytest.approx(x, abs=5.1e-4) for x in expected[:4]]
    assert five([r], [j])[0, 0] == pytest.approx(expected[4], abs=1.1e-3)
    assert five.explain(r, j)["score"] == pytest.approx(five([r], [j])[0, 0])


NAMES = ("Java", "Python", "Kafka", "Docker", "SQL", "Payroll")


@settings(max_examples=40, deadline=None)
@given(has=st.sets(st.sampled_from(NAMES)), asks=st.sets(st.sampled_from(NAMES), min_size=1),
       denied=st.sampled_from(NAMES), words=st.sampled_from((
           "No experience with {}.", "I have never used {}.", "Without any {}.", "No {}.")))
def test_a_denial_never_earns_anything(has, asks, denied, words):
    text = ". ".join(sorted(has - {denied}) or ["Cook"])
    resumes = [Document(id=str(i), kind="resume", sections={"skills": t})
               for i, t in enumerate((text, f"{text}. {words.format(denied)}"))]
    job = Document(id="j", kind="job", sections={"requirements": ", ".join(sorted(asks))})
    signals = FiveSignals(flat(0), background=[], taggers=Taggers()).signals(resumes, [job])
    for name in ("keyword", "skill", "section"):
        assert signals[name][1, 0] <= signals[name][0, 0] + 1e-12


def test_each_signal_shows_its_places():
    resume = Document(id="r", kind="resume", title="Cook", sections={
        "summary": "Ana Bello\nana@example.com", "experience": "Baking, 01/2010 to 12/2013",
        "education": "B.Sc., 2009", "skills": "Django. No experience with payroll"})
    job = Document(id="j", kind="job", sections={
        "requirements": "Python, payroll and baking. Bachelor's degree. 3 years of experience"})
    told = FiveSignals(flat(0.3), background=[], taggers=Taggers()).explain(resume, job)
    json.dumps(told)
    evidence = {name: s["evidence"] for name, s in told["signals"].items()}

    def at(place, document=resume):
        parts = {"title": document.title, **document.sections}
        return parts[place["section"]][place["start"]:place["end"]]

    assert told["used"] == {"skills": "rules", "entities": "rules"}
    assert evidence["semantic"]["sections"][0].keys() == {"resume", "job", "cosine"}
    assert {w: at(p) for w, p in evidence["keyword"]["places"].items()} == {"baking": "Baking"}
    assert evidence["keyword"]["found"] == ["baking", "experience"]  # a heading counts as a word
    assert evidence["keyword"]["denied"] == ["payroll"]
    assert at(evidence["tfidf"]["places"]["baking"]) == "Baking"
    assert at(evidence["skill"]["implied"]["Python"]) == "Django"
    asked = evidence["skill"]["asked"]["Payroll"]
    assert (asked["weight"], at(asked, job)) == (1, "payroll")
    section = evidence["section"]
    assert [(p["kind"], at(p)) for p in section["contact"]] == [
        ("Name", "Ana Bello"), ("Email Address", "ana@example.com")]
    assert (section["years"]["required"], section["years"]["shown"]) == (3, 4)
    assert at(section["years"]["asked_at"][0], job) == "3 years of experience"
    assert at(section["years"]["shown_at"][0]) == "01/2010 to 12/2013"
    assert (section["education"]["required"], section["education"]["shown"]) == (3, 3)
    assert at(section["education"]["shown_at"][0]).startswith("B.Sc")
    assert section["entities"]["by"] == "rules"
    for part, spans in told["denied"].items():
        assert [resume.sections[part][a:b] for a, b in spans] == ["experience", "with", "payroll"]


class Marker:
    """A tagger that marks what a pattern finds."""

    name = "marker"

    def __init__(self, pattern, label=""):
        self.pattern, self.label = re.compile(pattern), label

    def __call__(self, text):
        return [Tagged(label=self.label, start=m.start(), end=m.end(), score=1.0)
                for m in self.pattern.finditer(text)]


def test_a_tagger_of_skills_adds_what_the_lexicon_lacks():
    job = Document(id="j", kind="job", sections={
        "requirements": "Payroll, dough lamination", "preferred": "tempering"})
    docs = [Document(id=t, kind="resume", sections={"skills": t}) for t in (
        "Payroll", "Payroll. Dough lamination", "Payroll. No dough lamination", "tempering")]
    taggers = Taggers(skills=Marker("[Dd]ough lamination|tempering|Payroll"))
    five = FiveSignals(flat(0), background=[], taggers=taggers)
    skill = five.signals(docs, [job])["skill"][:, 0]
    np.testing.assert_allclose(skill, [1 / 2.5, 2 / 2.5, 1 / 2.5, 0.5 / 2.5])
    rules = FiveSignals(flat(0), background=[], taggers=Taggers())
    np.testing.assert_allclose(rules.signals(docs, [job])["skill"][:, 0], [1, 1, 1, 0])
    told = five.explain(docs[1], job)
    assert told["used"] == {"skills": "marker", "entities": "rules"}
    tagged = told["signals"]["skill"]["evidence"]["tagged"]
    assert list(tagged["matched"]) == ["dough lamination"] and tagged["missing"] == ["tempering"]
    other = Document(id="o", kind="job", sections={"requirements": "Dough lamination"})
    np.testing.assert_allclose(five.signals(docs, [other, job])["skill"][:, 1], skill)


def test_a_tagger_of_entities_speaks_for_a_missing_heading():
    resume = Document(id="r", kind="resume", sections={"other": "Holds a BA in law"})
    taggers = Taggers(entities=Marker("BA", "Degree"))
    section = {t: FiveSignals(flat(0), background=[], taggers=x).signals([resume], [JOB])["section"]
               for t, x in (("tagger", taggers), ("rules", Taggers()))}
    assert section["tagger"][0, 0] - section["rules"][0, 0] == pytest.approx(0.5 / 3)
    told = FiveSignals(flat(0), background=[], taggers=taggers).explain(resume, JOB)
    evidence = told["signals"]["section"]["evidence"]
    assert evidence["present"] == ["education"]
    assert evidence["entities"] == {"by": "marker", "found": [
        {"kind": "Degree", "section": "other", "start": 8, "end": 10}]}


def test_without_weights_on_the_computer_rules_are_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert FiveSignals(flat(0)).taggers == Taggers()


@pytest.mark.parametrize(("arguments", "message"), [
    (dict(weights={"semantic": 1.0}), "weights must name"),
    (dict(weights={**WEIGHTS, "tfidf": -0.2, "skill": 0.6}), ">= 0"),
    (dict(keywords=0), "keywords must be >= 1, got 0"),
])
def test_bad_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        FiveSignals(flat(0), **arguments)


def test_bad_semantic():
    with pytest.raises(ValueError, match="function"):
        FiveSignals(None)
    with pytest.raises(ValueError, match="expected"):
        FiveSignals(lambda r, j: np.zeros((1, 1)))([COOK, DRIVER], [JOB])
    with pytest.raises(ValueError, match="not finite"):
        FiveSignals(flat(np.nan))([COOK], [JOB])


def test_frequencies_of_nothing():
    assert document_frequencies([]) == ({}, 0)
    assert FiveSignals(flat(0))([], []).shape == (0, 0)


@pytest.mark.real
@pytest.mark.skipif(not DATA, reason="RESUME_CONTRASTIVE_DATA is not set")
def test_real_matrix_in_seconds():
    import pandas as pd

    resumes, jobs = ([document_from_text(text, kind, id=str(n)) for n, text in enumerate(
        pd.read_csv(Path(DATA) / "kaggle" / file)[column][::20])]
        for file, column, kind in (("Resume.csv", "Resume_str", "resume"),
                                   ("training_data.csv", "job_description", "job")))
    start = time.process_time()
    scores = FiveSignals(flat(0.5), background=[*resumes, *jobs])(resumes, jobs)
    assert time.process_time() - start < 20  # about 3 seconds on one free core
    assert scores.shape == (106, 347) and 15 < scores.mean() < 100 and scores.std() > 1
