"""The hand-tuned pipeline on the installed package."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from resume_contrastive.documents import Document, document_from_text
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
