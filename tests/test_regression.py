"""What must not move: golden scores of the sample, the old call's contracts, recorded results."""

import json
import sys

import numpy as np
import pytest

from resume_contrastive.documents import Document
from resume_contrastive.five_signals import FiveSignals
from resume_contrastive.pipeline import Pipeline
from resume_contrastive.requirements import coverage, requirements_of
from resume_contrastive.scorer import ContrastiveScorer, hybrid_similarity


@pytest.fixture(scope="module")
def golden(root):
    return {p.name: json.loads(p.read_text()) for p in (root / "tests" / "golden").glob("*.json")}


@pytest.fixture(scope="module")
def script(root):
    sys.path.insert(0, str(root / "scripts"))
    import record_golden

    sys.path.pop(0)
    return record_golden


@pytest.fixture(scope="module")
def zero_shot():
    return ContrastiveScorer("zero-shot")


# ---------------------------------------------------------------- golden scores


def test_the_golden_files_are_of_this_sample(golden, script):
    from resume_contrastive.store import hash_file

    for content in golden.values():
        for name, digest in content["data_sha256"].items():
            assert hash_file(script.SAMPLE / name) == digest, "run scripts/record_golden.py"
        assert content["tolerance"] == script.TOLERANCE and len(content["why"]) > 20


def test_scores_of_the_sample_are_the_golden_ones(golden, script, zero_shot):
    want, (resumes, jobs) = golden["scores.json"], script.documents()
    assert [d.id for d in resumes] == want["resumes"] and [d.id for d in jobs] == want["jobs"]
    found = zero_shot.score_matrix(resumes, jobs)
    assert np.abs(found - np.array(want["scores"])).max() <= want["tolerance"]["score"]
    fits = [[coverage(r, j).fit for j in jobs] for r in resumes]
    golden_fit = np.array(want["fit"], dtype=float)
    assert np.allclose(fits, golden_fit, atol=want["tolerance"]["fit"], equal_nan=True)


def test_the_three_modes_are_the_golden_ones(golden, script, zero_shot):
    content, (resumes, jobs) = golden["modes.json"], script.documents()
    score, signal = (content["tolerance"][k] for k in ("score", "signal"))
    for want, (r, j) in zip(content["pairs"], script.MODES, strict=True):
        e = hybrid_similarity(resumes[r], jobs[j], "explain", scorer=zero_shot)
        assert e["resume"] == want["resume"] and e["job"] == want["job"]
        for mode in ("replace", "blend"):
            found = hybrid_similarity(resumes[r], jobs[j], mode, scorer=zero_shot)
            assert isinstance(found, float) and found == pytest.approx(want[mode], abs=score)
        assert e["score"] == pytest.approx(want["replace"], abs=score)
        assert e["five_signals"] == pytest.approx(want["five_signals"], abs=score)
        assert e["signals"] == pytest.approx(want["signals"], abs=signal)
        assert e["sections"] == pytest.approx(want["sections"], abs=score)
        assert {q["skill"]: q["status"] for q in e["requirements"]} == want["status"]
        assert e["missing_required"] == want["missing_required"]


# ---------------------------------------------------------------- the old pipeline's behaviours


def fit(skills, requirements, **sections):
    resume = Document(id="r", kind="resume", sections={"skills": skills})
    return coverage(resume, Document(id="j", kind="job", sections={
        "requirements": requirements, **sections})).fit


def test_negation_counts_as_missing():
    assert fit("Payroll and baking", "Payroll") == 1
    for denied in ("No experience with payroll", "I have never used payroll", "Payroll: none"):
        assert fit(denied, "Payroll") == 0, denied
    assert fit("Not only payroll, but baking", "Payroll") == 1


def test_an_implied_skill_earns_half_and_the_reverse_none():
    assert fit("Django", "Python") == 0.5 and fit("Python", "Django") == 0
    assert fit("Django. No experience with Python", "Python") == 0  # a denial outweighs it


def test_required_skills_weigh_twice_as_much_as_preferred_ones():
    assert fit("Baking", "Baking", preferred="Payroll") == pytest.approx(1 / 1.5)
    assert fit("Payroll", "Baking", preferred="Payroll") == pytest.approx(0.5 / 1.5)
    job = Document(id="j", kind="job", sections={"requirements": "Baking. Payroll is a plus."})
    assert {r.skill: r.weight for r in requirements_of(job)} == {"Baking": 1.0, "Payroll": 0.5}


def test_the_five_signals_see_negation_and_weights():
    old = FiveSignals(lambda r, j: np.zeros((len(r), len(j))))
    job = Document(id="j", kind="job", sections={"requirements": "Payroll"})
    good, bad = (Document(id=t, kind="resume", sections={"skills": t})
                 for t in ("Payroll", "No experience with payroll"))
    found = old.signals([good, bad], [job])["skill"][:, 0]
    assert found[0] == 1 and found[1] == 0


# ---------------------------------------------------------------- recorded results


@pytest.mark.parametrize("name", ["demo.json", "real.json"])
def test_the_recorded_learned_score_is_not_below_the_zero_shot_encoder(root, name):
    """A record in which training lost to its start, outside the interval, is not to be shipped."""
    rows = json.loads((root / "data" / "results" / name).read_text())["evaluation"]
    key = ("benchmark", "aspect", "direction", "metric")
    by = {(r["system"], *(r[k] for k in key)): r for r in rows}
    role = [k for k in by if k[0] == "learned" and k[2] == "role"]
    assert role
    for k in role:
        zero = by.get(("zero-shot", *k[1:]))
        if zero and by[k]["high"] < zero["low"]:
            pytest.fail(f"{k}: learned {by[k]['high']:.3f} is below zero-shot {zero['low']:.3f}")


def test_titles_are_as_alike_in_a_later_run_as_in_the_first(tmp_path):
    """Another batch gives a vector other last bits, and the data hash sees all of them."""
    run = Pipeline(tmp_path / "run")
    titles = ["head chef", "accountant", "software engineer for embedded systems", "nurse"] * 3
    titles = [f"{t} {n}" for n, t in enumerate(titles)]
    first = np.asarray(run.similarity(titles, titles[:5]))
    kept = run.embedder.cache
    for title in titles:  # each in a batch of its own
        run.embedder.embed([title])
    assert run.embedder.cache is kept and not kept.missing([kept.key(t) for t in titles])
    assert np.asarray(run.similarity(titles, titles[:5])).tobytes() == first.tobytes()
