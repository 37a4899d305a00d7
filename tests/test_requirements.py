"""Skills, negation, years and coverage on the installed package."""

import itertools
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest

from resume_contrastive.documents import Document, document_from_text
from resume_contrastive.lexicon import Lexicon, Skill, default_lexicon, read_skills
from resume_contrastive.requirements import (
    coverage,
    coverage_matrix,
    education_level,
    evidence_of,
    requirements_of,
    sentence_spans,
    skills_shown,
    years_required,
    years_shown,
)

DATA = os.environ.get("RESUME_CONTRASTIVE_DATA")


def resume(**sections):
    return Document(id="r", kind="resume", sections=sections)


def job(title="", **sections):
    return Document(id="j", kind="job", title=title, sections=sections)


def names(text):
    lexicon = default_lexicon()
    return [lexicon.names[i] for i, _, _ in lexicon.find(text)]


def test_lexicon_is_large_and_sound():
    lexicon = default_lexicon()
    assert len(lexicon.names) >= 400
    assert sum(bool(s.implies) for s in lexicon.skills) >= 25
    assert "Python" in lexicon.implied["Django"]
    assert all(skill not in implied for skill, implied in lexicon.implied.items())  # no cycles
    spelled = {}
    for s in lexicon.skills:
        for alias in (s.name, *s.aliases):
            assert spelled.setdefault(alias.lower().rstrip("!?"), s.name) == s.name, alias


def test_every_sure_spelling_finds_its_skill():
    for skill in default_lexicon().skills:
        for alias in (skill.name, *skill.aliases):
            marked = {a[:-1].lower() for a in skill.aliases if a[-1] in "!?"}
            if alias[-1] not in "!?" and alias.lower() not in marked:
                assert skill.name in names(f"knows {alias} well"), alias


@pytest.mark.parametrize(("text", "found"), [
    ("C++, C# and F#", ["C++", "C#"]),
    ("C/C++", ["C", "C++"]),
    ("vitamin C and C-level", []),
    ("Java, JavaScript; typescript", ["Java", "JavaScript", "TypeScript"]),
    ("www.example.net but ASP.NET", ["ASP.NET"]),
    ("They go far, R&D, plan B", []),
    ("python, go and r", ["Python", "Go", "R"]),
    ("experience with Node.js/React.js", ["Node.js", "React"]),
    ("machine  learning\nengineer", ["Machine learning"]),
    ("sql, server", ["SQL"]),
    ("driver’s license", ["Driving licence"]),
])
def test_names_at_their_edges(text, found):
    assert names(text) == found


def test_lexicon_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="not in the lexicon: b"):
        Lexicon([Skill(name="a", implies=("b",))])
    with pytest.raises(ValueError, match="named twice: a"):
        Lexicon([Skill(name="a"), Skill(name="a")])
    with pytest.raises(ValueError, match="no letter or digit"):
        Lexicon([Skill(name="a", aliases=("--",))])
    table = tmp_path / "skills.tsv"
    table.write_text("skill\taliases\timplies\tgroup\nonly two\tcells\n")
    with pytest.raises(ValueError, match="line 2: expected 4"):
        read_skills(table)
    table.write_text("nothing\n")
    with pytest.raises(ValueError, match="first line"):
        read_skills(table)


def test_chains_of_implications_are_closed_and_cycles_end():
    lexicon = Lexicon([Skill(name="a", implies=("b",)), Skill(name="b", implies=("c",)),
                       Skill(name="c", implies=("a",))])
    assert lexicon.implied["a"] == {"b", "c"}


@pytest.mark.parametrize(("text", "state"), [
    ("no experience with Java", "negated"),
    ("without any Java", "negated"),
    ("have not used Java", "negated"),
    ("I've never worked with Java", "negated"),
    ("No Python, Kafka or Java", "negated"),
    ("No Python, but Java", "shown"),
    ("Not only Python but Java", "shown"),
    ("No delays. Java daily", "shown"),
    ("no accidents, Java", "shown"),
    ("eager to learn Java", "weak"),
    ("interested in Python and Java", "weak"),
    ("worked next to the team that ran Java", "weak"),
    ("led a team that ran Java", "shown"),
    ("Java (not required)", "negated"),
    ("passed all matters of Java to a colleague", "weak"),
    ("sent it to the person responsible for Java", "weak"),
    ("manager responsible for Java", "shown"),
])
def test_state_of_a_mention(text, state):
    assert skills_shown(resume(summary=text))["Java"].state == state


def test_an_advert_asks_for_what_others_do():
    text = "Someone who knows SQL\nJoin the team that runs Kafka"
    found = requirements_of(job(requirements=text))
    assert [(r.skill, r.weight) for r in found] == [("SQL", 1), ("Kafka", 1)]


def test_the_best_mention_counts_and_interests_are_weak():
    shown = skills_shown(resume(summary="No experience with Java", skills="Java"))
    assert (shown["Java"].state, shown["Java"].section) == ("shown", "skills")
    assert skills_shown(resume(interests="photography"))["Photography"].state == "weak"


def test_evidence_points_at_the_text():
    doc = resume(summary="Cooks.\nUses Docker", experience="A cook. Ran Kafka\nand SQL İ Python")
    seen = evidence_of(doc)
    assert {e.skill for e in seen} == {"Docker", "Kafka", "SQL", "Python"}
    for e in seen:
        text = doc.sections[e.section]
        assert text[e.start:e.end] == e.skill
        a, b = sentence_spans(text)[e.sentence]
        assert a <= e.start < e.end <= b


def test_requirements_have_priority_sections_and_weights():
    found = {r.skill: (r.weight, r.section) for r in requirements_of(job(
        "Java developer", about="We sell SAP", requirements="SQL. Docker is a plus",
        preferred="Kafka. SQL", benefits="Yoga"))}
    assert found == {"Java": (1, "title"), "SAP": (0.5, "about"), "SQL": (1, "requirements"),
                     "Docker": (0.5, "requirements"), "Kafka": (0.5, "preferred")}
    assert [r.weight for r in requirements_of(job(about="Java, nice to have"))] == [0.5]
    assert [r.weight for r in requirements_of(job(about="Java"))] == [1]
    assert requirements_of(job(requirements="Java is not required")) == []


@pytest.mark.parametrize(("text", "years"), [
    ("3+ years of experience", 3), ("three years' experience", 3), ("5 - 7 years experience", 5),
    ("18 years or older, experience", 0), ("Experience: for over 20 years we", 0), ("", 0),
    ("2 years experience\n6 years of work experience", 6),
])
def test_years_required(text, years):
    assert years_required(job(requirements=text)) == years


def test_years_shown_equal_the_distinct_months():
    rng = np.random.default_rng(0)
    for _ in range(20):
        months, lines = set(), []
        for _ in range(int(rng.integers(1, 6))):
            start = int(rng.integers(12 * 1990, 12 * 2015))
            end = start + int(rng.integers(0, 80))
            a, b = (f"{m % 12 + 1:02d}/{m // 12}" for m in (start, end))
            lines.append(f"Cook {a} to {b}")
            months |= set(range(start, end + 1))
        assert math.isclose(years_shown(resume(experience="\n".join(lines))), len(months) / 12)


def test_present_closes_at_the_reference_and_not_today():
    doc = resume(experience="Cook, 01/2010 to Present")
    assert years_shown(doc, reference=(2011, 12)) == 2
    assert years_shown(doc, reference=(2012, 12)) == 3
    later = resume(experience="Cook, 01/2030 to Present. Chef, 01/2020 to 12/2030")
    assert years_shown(later, reference=(2011, 12)) == 11
    assert years_shown(resume(education="2001 to 2005")) == 0


def test_education_is_ordinal():
    levels = [education_level(t) for t in ("none of it", "high school", "associate of arts",
                                           "B.Sc.", "Master's degree", "PhD")]
    assert levels == [0, 1, 2, 3, 4, 5]
    assert education_level("PhD or Bachelor's", lowest=True) == 3


def test_negation_blocks_the_implied_credit():
    ask = job(requirements="Python")
    assert coverage(resume(skills="Django"), ask).fit == 0.5
    assert coverage(resume(skills="Django. No experience with Python"), ask).fit == 0
    assert coverage(resume(skills="Eager to learn Python"), ask).fit == 0


def test_coverage_grows_with_what_is_shown_and_ends_at_one():
    asked = ["Python", "Kafka", "Docker", "Payroll"]
    ask = job(requirements=", ".join(asked))
    fits = [coverage(resume(skills=", ".join(asked[:k])), ask).fit for k in range(5)]
    assert fits == [0, 0.25, 0.5, 0.75, 1]
    c = coverage(resume(skills="Python, Docker"), ask)
    assert (set(c.matched), set(c.missing)) == ({"Python", "Docker"}, {"Kafka", "Payroll"})


def test_a_required_skill_weighs_twice_a_preferred_one():
    ask = job(requirements="Python", preferred="Kafka")
    assert math.isclose(coverage(resume(skills="Python"), ask).fit, 2 / 3)
    assert math.isclose(coverage(resume(skills="Kafka"), ask).fit, 1 / 3)


def test_matrix_equals_the_pairs_one_by_one():
    rng = np.random.default_rng(1)
    pool = list(default_lexicon().names)
    resumes = [Document(id=f"r{i}", kind="resume", sections={
        "skills": ", ".join(rng.choice(pool, 8)), "experience": f"Cook 01/2000 to 01/200{i}"})
        for i in range(6)]
    jobs = [job("", requirements=", ".join(rng.choice(pool, 5)) + ". 4 years of experience"[:k])
            for k in (0, 99)] + [job(about="Hello")]
    cache = {}
    for years in (True, False):
        got = coverage_matrix(resumes, jobs, years=years, cache=cache)
        want = [[coverage(r, j, years=years).fit for j in jobs] for r in resumes]
        np.testing.assert_allclose(got, want)
        assert np.isnan(got[:, 2]).all() and ((got[:, :2] >= 0) & (got[:, :2] <= 1)).all()
    assert len(cache) == 9
    assert coverage_matrix([], []).shape == (0, 0)


def test_same_words_in_other_sections_are_read_anew():
    ask = job(requirements="Photography")
    both = [resume(skills="Photography"), resume(interests="Photography")]
    np.testing.assert_allclose(coverage_matrix(both, [ask])[:, 0], [1, 0])


def sampled(file, kind, text, title=None, step=10):
    "Every tenth row of a real table"
    import pandas as pd

    rows = pd.read_csv(Path(DATA) / "kaggle" / file).iloc[::step]
    return [document_from_text(row[text], kind, id=str(n), title=str(row[title]) if title else None)
            for n, row in rows.iterrows()]


@pytest.mark.real
@pytest.mark.skipif(not DATA, reason="RESUME_CONTRASTIVE_DATA is not set")
def test_real_adverts_name_skills_and_are_read_fast():
    jobs = sampled("training_data.csv", "job", "job_description", title="position_title")
    resumes = sampled("Resume.csv", "resume", "Resume_str")
    start = time.process_time()
    fit = coverage_matrix(resumes, jobs)
    assert time.process_time() - start < 20  # about 3 seconds on one free core
    asked = np.array([len(requirements_of(j)) for j in jobs])
    assert np.median(asked) >= 3 and (asked == 0).mean() < 0.1
    assert np.isnan(fit[0]).mean() < 0.1
    dated = np.mean([years_shown(r) > 0 for r in resumes])
    assert dated > 0.95
    assert 0.15 < np.mean([years_required(j) > 0 for j in jobs]) < 0.6


def test_no_skill_is_lost_between_list_marks():
    for a, b, mark in itertools.product(["Python", "Excel"], ["SQL", "Tableau"], [", ", "/", "\n"]):
        assert names(f"{a}{mark}{b}") == [a, b]
