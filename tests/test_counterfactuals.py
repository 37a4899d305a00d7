"""Fit and counterfactuals: what is taken out is gone, what isn't stays, and lengths are equal."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resume_contrastive.counterfactuals import (
    FitReader,
    Impossible,
    counterfactual_pairs,
    grade_of,
    make_triple,
    own_requirements_pairs,
    pieces_of,
    without_pieces,
)
from resume_contrastive.documents import Document, read_table
from resume_contrastive.requirements import coverage, skills_shown
from resume_contrastive.splits import is_generated, origins


def resume(id="r", title="", **sections):
    return Document(id=id, kind="resume", title=title, sections=sections)


def job(id="j", title="", **sections):
    return Document(id=id, kind="job", title=title, sections=sections)


# ---------------------------------------------------------------- fit


@pytest.mark.parametrize(
    ("education", "credit"),
    [("PhD", 1), ("Master of Arts degree", 1), ("Bachelor of Arts", 0.5), ("High school", 0)],
)
def test_education_earns_full_half_or_no_credit(education, credit):
    asked = job(requirements="Python. A master's degree is required.")
    shown = resume(skills="Python", education=education)
    assert FitReader()(shown, asked).fit == pytest.approx((1 + credit) / 2)


def test_fit_without_education_is_the_coverage_of_the_extractors(resumes, jobs):
    reader, seen = FitReader(), 0
    for r in resumes[::30]:
        for j in jobs[::10]:
            got, want = reader(r, j), coverage(r, j)
            assert (got.matched, got.implied, got.missing) == (
                len(want.matched),
                len(want.implied),
                len(want.missing),
            )
            assert got.years_asked == want.years_required and got.years_shown == want.years_shown
            if not got.education_asked:
                seen += 1
                assert got.fit == pytest.approx(want.fit, nan_ok=True)
    assert seen > 10


def test_a_job_that_asks_nothing_known_has_no_fit():
    got = FitReader()(resume(skills="Python"), job(about="A fine place to be."))
    assert math.isnan(got.fit) and got.asked == 0 and grade_of(got.fit) == 2


@given(st.floats(0, 1))
def test_grades_rise_with_fit(fit):
    assert grade_of(fit) in (1, 2, 3) and grade_of(fit) <= grade_of(min(1, fit + 0.1))


# ---------------------------------------------------------------- pieces


LINES = st.lists(
    st.sampled_from(
        [
            "Led the kitchen of a hotel.",
            "Python, SQL, Excel, French",
            "- Wrote menus; trained cooks.",
            "Cook, 01/2015 to 12/2018",
            "",
            "a | b | c | d",
        ]
    ),
    min_size=1,
    max_size=6,
).map("\n".join)


@settings(deadline=None)
@given(LINES, LINES, st.integers(0, 10**6))
def test_what_is_dropped_is_gone_and_the_rest_is_word_for_word(first, second, seed):
    doc = resume(experience=first, skills=second)
    pieces = pieces_of(doc)
    drop = {n for n in range(len(pieces)) if np.random.default_rng([seed, n]).random() < 0.4}
    left = without_pieces(doc, pieces, drop)
    marks = str.maketrans("", "", ",;|•·▪●")
    for name, text in doc.sections.items():
        kept = [
            text[p.start : p.end]
            for n, p in enumerate(pieces)
            if p.section == name and n not in drop
        ]
        got = left.get(name, "").translate(marks).split()
        assert got == " ".join(kept).translate(marks).split()
    if not drop:
        assert left == {n: t.strip() for n, t in doc.sections.items() if t.strip()}


# ---------------------------------------------------------------- triples


def check(triple, origin, asked):
    """A triple is what it says, read by fresh extractors."""
    before, cf, same = (coverage(d, asked) for d in (origin, triple.counterfactual, triple.control))
    shown = {n for n, e in skills_shown(triple.counterfactual).items() if e.state == "shown"}
    assert triple.removed and not set(triple.removed) & (
        shown | set(cf.matched) | set(cf.implied)
    )
    assert cf.fit < before.fit and same.fit == before.fit
    assert set(same.matched) == set(before.matched) and set(same.implied) == set(before.implied)
    for a in (cf, same):
        assert a.years_shown == before.years_shown
        assert a.education_shown == before.education_shown
    gone = [origin.n_words - d.n_words for d in (triple.counterfactual, triple.control)]
    assert tuple(gone) == triple.words and abs(gone[0] - gone[1]) <= max(1, 0.05 * gone[0])
    for d in (triple.counterfactual, triple.control):
        assert d.source == f"counterfactual:{origin.id}" and is_generated(d)
        assert ("resume", origin.id) in origins(d)
        assert set(d.text.split()) <= {*origin.text.split(), *origin.text.replace(",", " ").split()}


def truth(resumes, jobs, sample):
    sides = {d.id: d for d in resumes}, {d.id: d for d in jobs}
    table = pd.read_csv(sample / "labels.csv", dtype=str)
    table = table[table.role.astype(float) > 0].assign(role=1.0, confidence=1.0)
    reader = FitReader()
    table = table[table.resume_id.isin(sides[0]) & table.job_id.isin(sides[1])][::7]
    table["fit"] = [
        reader(sides[0][r], sides[1][j]).fit
        for r, j in zip(table.resume_id, table.job_id, strict=True)
    ]
    return table, sides, reader


def test_triples_of_the_sample_are_right_by_construction(resumes, jobs, sample):
    table, sides, reader = truth(resumes, jobs, sample)
    triples, rows, ends = counterfactual_pairs(table, *sides, reader, limit=60, each=2)
    assert ends["made"] == len(triples) > 40
    for t in triples:
        check(t, sides[0][origins(t.control)[0][1]], sides[1][t.job_id])
    assert rows.groupby("triple").size().eq(2).all()
    wide = rows.pivot(index="triple", columns="kind", values="label")
    assert (wide.counterfactual < wide.control).all()
    ids = [d.id for t in triples for d in (t.counterfactual, t.control)]
    assert len(set(ids)) == len(ids) and max(int(i[-1]) for i in ids) <= 1  # two a resume, at most


def test_the_seed_decides_and_the_limit_holds(resumes, jobs, sample):
    table, sides, reader = truth(resumes, jobs, sample)
    runs = [
        counterfactual_pairs(table, *sides, reader, limit=12, seed=seed)[1] for seed in (0, 0, 1)
    ]
    assert runs[0].equals(runs[1]) and not runs[0].equals(runs[2])
    assert [r.triple.nunique() for r in runs] == [12, 12, 12]
    assert counterfactual_pairs(table, *sides, reader, limit=0)[2] == {}


def lost(origin, copy):
    """Numbers of the pieces that a copy lost; each piece of the origin is looked for in order."""
    gone, at = [], dict.fromkeys(origin.sections, 0)
    for n, p in enumerate(pieces_of(origin)):
        body, left = origin.sections[p.section][p.start : p.end], copy.sections.get(p.section, "")
        start = at[p.section]
        while start < len(left) and left[start] in " \n\t,;|•·▪●":
            start += 1
        if left.startswith(body, start):
            at[p.section] = start + len(body)
        else:
            gone.append(n)
    return gone


def test_a_control_loses_what_looks_like_the_loss_of_its_counterfactual(resumes, jobs, sample):
    table, sides, reader = truth(resumes, jobs, sample)
    triples, *_ = counterfactual_pairs(table, *sides, reader, limit=60)
    alike = 0
    for t in triples:
        origin = sides[0][origins(t.control)[0][1]]
        pieces = pieces_of(origin)
        both = [lost(origin, d) for d in (t.counterfactual, t.control)]
        assert not any(pieces[n].fixed for side in both for n in side)
        alike += sorted(pieces[n].kind for n in both[0]) == sorted(pieces[n].kind for n in both[1])
    assert alike > 0.8 * len(triples) > 30


def test_employers_titles_and_headings_are_fixed_and_skills_are_not():
    r = resume(
        skills="Staff Training\nTill work",
        experience="Shop Manager\nCorner Shop - Umberline , Blueland\n- Sold bread\nLed a team of "
        "six, and bought the flour.\nKept The Books Of The Shop.",
    )
    fixed = {r.sections[p.section][p.start : p.end]: p.fixed for p in pieces_of(r)}
    assert [k for k, v in fixed.items() if v] == [
        "Shop Manager",
        "Corner Shop - Umberline , Blueland",
    ]


def test_a_skill_goes_with_whatever_implies_it():
    r = resume(
        skills="Django, French, Welding, Sewing",
        experience="Built sites in Django.\nRan the shop for them.\nKept all of the books.",
    )
    made = make_triple(r, job(requirements="Python is required."), FitReader(), share=0.9)
    assert made.removed == ("Python",) and "Django" not in made.counterfactual.text
    assert "Django" in made.control.text
    check(made, r, job(requirements="Python is required."))


@pytest.mark.parametrize(
    ("r", "why"),
    [
        (resume(skills="Welding"), "nothing that the job asks is shown"),
        (resume(title="Python", summary="Much else here."), "shown in the title"),
        (resume(summary="Python since 2015."), "shown beside a date, a degree, an employer"),
        (resume(experience="Python Shop\nSold all of it."), "an employer or a title"),
        (resume(skills="Python, SQL"), "shown in too large a part of the resume"),
    ],
)
def test_what_cannot_be_made_says_why(r, why):
    asked = job(requirements="You need Python.")
    with pytest.raises(Impossible, match=why):
        make_triple(r, asked, FitReader())


def test_no_reason_holds_a_word_of_the_document():
    r = resume(skills="secretword Python")
    with pytest.raises(Impossible) as e:
        make_triple(r, job(requirements="Python."), FitReader())
    assert "secretword" not in str(e.value)


@pytest.mark.real
def test_triples_of_real_resumes_are_right_by_construction(real_data):
    folder = Path(real_data) / "kaggle"
    resumes = replace_ids(read_head(folder / "Resume.csv", "resume", 40))
    jobs = read_head(folder / "training_data.csv", "job", 120)
    reader, made = FitReader(), 0
    for n, r in enumerate(resumes):
        for j in jobs[n % 5 :: 25]:
            if not reader(r, j).fit > 0:
                continue
            try:
                t = make_triple(r, j, reader)
            except Impossible:
                continue
            made += 1
            check(t, r, j)
    assert made >= 10


def replace_ids(documents):
    return [replace(d, id=f"real-{n}") for n, d in enumerate(documents)]


def read_head(path, kind, n):
    """The first records of a table, without reading all of it."""
    import csv
    import tempfile

    with path.open(newline="", encoding="utf-8-sig") as f:
        reader = csv.DictReader(f)
        rows = [row for row, _ in zip(reader, range(n), strict=False)]
    with tempfile.TemporaryDirectory() as d:
        short = Path(d) / os.path.basename(path)
        with short.open("w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return read_table(short, kind)[0]


# ---------------------------------------------------------------- own requirements


def test_own_requirements_by_hand():
    about = "We bake bread for the town and its people. " * 8
    ads = [
        job("a", about=about, requirements="Know rye well.\nLift heavy bags.\nRise early on.\nX"),
        job("b", about="Too short.", requirements="Know rye well.\nLift bags.\nRise early."),
        job("c", about=about, requirements="One line only."),
        job("d", about=about),
    ]
    queries, bodies, rows = own_requirements_pairs(ads, draws=3)
    assert [b.id for b in bodies] == ["a-without:requirements"]
    assert len(queries) == 1  # all three lines each time: one draw is enough
    assert queries[0].sections == {"skills": "Know rye well.\nLift heavy bags.\nRise early on."}
    assert queries[0].kind == "resume" and queries[0].source == "own-requirements:a"
    assert rows[["resume_id", "job_id", "kind"]].values.tolist() == [
        ["requirements-of:a:0", "a-without:requirements", "own-requirements"]
    ]


def test_own_requirements_keep_to_their_limit_and_seed(jobs):
    some = own_requirements_pairs(jobs, limit=20, seed=1)
    assert len(some[1]) == 20 and {d.id for d in some[1]} == set(some[2].job_id)
    assert [d.id for d in own_requirements_pairs(jobs, limit=20, seed=1)[0]] == [
        d.id for d in some[0]
    ]
    assert {d.id for d in own_requirements_pairs(jobs, limit=20, seed=2)[1]} != {
        d.id for d in some[1]
    }
    with pytest.raises(ValueError, match="limit must be >= 0"):
        own_requirements_pairs(jobs, limit=-1)
