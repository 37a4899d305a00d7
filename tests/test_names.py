"""Names: what is verified, what is measured, and what raises."""

import csv
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resume_contrastive import names as N
from resume_contrastive.documents import Document, document_from_text
from resume_contrastive.store import read_json

EVERY = [" ".join(p) for pairs in N.NAMES.values() for p in pairs]


@pytest.fixture(scope="module")
def resume():
    return Document(id="r", kind="resume", title="Cook", category="CHEF", source="a.csv#1",
                    sections={"experience": "Ten years in hotels.", "summary": "I cook.\nWell.",
                              "skills": "Soups, bread"})


# ------------------------------------------------------------------ rankings


@pytest.mark.parametrize(("a", "b", "p", "by_hand"), [
    ("abc", "abc", 0.9, 1.0),
    ("abc", "bac", 0.9, 0.729 + (0.81 + 0.729) / 9),
    ("abc", "cba", 0.9, 0.729 + (0 + 0.5 * 0.81 + 0.729) / 9),
    ("ab", "ac", 0.5, 0.5 * 0.25 + 0.5 + 0.5 * 0.25),  # one of two shared, at the top
    ("ab", "cd", 0.9, 0.0),
    ("a", "a", 0.3, 1.0),
])
def test_rbo_by_hand(a, b, p, by_hand):
    assert N.rbo(a, b, p) == pytest.approx(by_hand)


@given(st.permutations(range(9)), st.permutations(range(9)), st.floats(0.05, 0.95))
def test_rbo_is_symmetric_and_between_0_and_1(a, b, p):
    value = N.rbo(a, b, p)
    assert value == pytest.approx(N.rbo(b, a, p))
    assert 0 <= value <= 1 + 1e-9
    assert (value > 1 - 1e-9) == (a == b)


def test_rbo_weighs_the_top_more():
    top, bottom = [1, 0, *range(2, 10)], [*range(8), 9, 8]
    assert N.rbo(range(10), top) < N.rbo(range(10), bottom) < 1


@pytest.mark.parametrize(("a", "b", "p", "says"), [
    ([1, 2], [1], 0.9, "got 2 and 1 items"), ([], [], 0.9, "length above 0"),
    ([1, 1], [1, 2], 0.9, "without repeats"), ([1], [1], 1.0, "p must be between 0 and 1"),
])
def test_rbo_refuses(a, b, p, says):
    with pytest.raises(ValueError, match=says):
        N.rbo(a, b, p)


# ------------------------------------------------------------------ headers


def test_a_header_stands_where_the_reader_puts_it(sample):
    with open(sample / "resumes.csv", newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f))[:40]
    text = next(k for k in rows[0] if k in ("Resume_str", "resume_text", "text"))
    header = N.header_of("Lakisha Washington")
    for row in rows:
        plain = document_from_text(row[text], "resume", id="x", title="Cook")
        read = document_from_text(f"{header}\n{row[text]}", "resume", id="x", title="Cook")
        made = N.with_header(plain, header)
        assert list(made.sections.items()) == list(read.sections.items())


def test_all_published_names_are_verified(resume):
    headers = [N.header_of(n) for n in EVERY]
    versions = [N.with_header(resume, h, str(i)) for i, h in enumerate(headers)]
    assert len({v.id for v in versions}) == len(EVERY)
    same = N.verify_headers([resume, *versions], ["", *headers])
    assert same == N.verify_headers([resume], [""])  # the bytes of the resume itself


@pytest.mark.parametrize("change", [
    lambda d: replace(d, title="Baker"),
    lambda d: replace(d, category="CHEf"),
    lambda d: replace(d, source="a.csv#2"),
    lambda d: replace(d, sections={**d.sections, "skills": "Soups,  bread"}),
    lambda d: replace(d, sections={**d.sections, "summary": d.sections["summary"] + " "}),
    lambda d: replace(d, sections={**d.sections, "other": "x"}),
    lambda d: d.without("skills"),
    lambda d: replace(d, sections={k: d.sections[k] for k in ("summary", "skills", "experience")}),
])
def test_any_other_difference_raises(resume, change):
    headers = [N.header_of(n) for n in ("Emily Walsh", "Jamal Jones")]
    a, b = (N.with_header(resume, h) for h in headers)
    assert N.verify_headers([a, b], headers)
    with pytest.raises(ValueError, match="differs in more than its header"):
        N.verify_headers([a, change(b)], headers)


def test_a_version_with_another_header_raises(resume):
    headers = [N.header_of(n) for n in ("Emily Walsh", "Jamal Jones")]
    versions = [N.with_header(resume, h) for h in headers]
    below = replace(versions[1], sections=dict(sorted(versions[1].sections.items())))
    with pytest.raises(ValueError, match="begin with its header"):  # it stands lower down
        N.verify_headers([versions[0], below], headers)
    for wrong in (headers[::-1], [headers[0], headers[1] + "!"], [headers[0], headers[1][:-1]]):
        with pytest.raises(ValueError, match="begin with its header"):
            N.verify_headers(versions, wrong)
    with pytest.raises(ValueError, match="each version needs its header"):
        N.verify_headers(versions, headers[:1])


def test_stripping_leaves_one_text_whoever_it_was(resumes):
    for r in resumes[:30]:
        left = {N.strip_header(N.with_header(r, N.header_of(n, place))).text
                for n in EVERY[::9] for place in (0, 1)}
        assert len(left) == 1


def test_stripping_keeps_what_is_no_header(resume):
    assert N.strip_header(resume) is resume
    assert N.strip_header(N.with_header(resume, N.header_of("Jay Baker"))).text.count("I cook") == 1
    bare = resume.without("summary")
    assert "summary" not in N.strip_header(N.with_header(bare, N.header_of("Na Li"))).sections
    late = replace(resume, sections={"summary": "Line\n" * 6 + "cook@example.com"})
    assert N.strip_header(late) is late


# ------------------------------------------------------------------ names


def test_matching_takes_each_first_name_once_and_is_as_near_as_it_can_be():
    found = N.match_names(N.NAMES, lambda n: [len(n)])
    for cell, names in found.items():
        firsts, lasts = zip(*(n.split() for n in names), strict=True)
        assert len(set(firsts)) == len(firsts)
        assert max(lasts.count(x) for x in lasts) <= 2
        assert set(map(tuple, map(str.split, names))) <= set(N.NAMES[cell])
    even = {c: [(f"{c}{i}", "x" * k) for i in range(4) for k in (3, 5, 7)] for c in "ab"}
    sizes = {len(n) for x in N.match_names(even, lambda n: [len(n)], 2).values() for n in x}
    assert len(sizes) == 1
    with pytest.raises(ValueError, match="n >= 1"):
        N.match_names(N.NAMES, lambda n: [len(n)], 0)


# ------------------------------------------------------------------ edits, selections, cells


def test_no_edit_changes_nothing():
    scores = np.random.default_rng(0).normal(size=(20, 3))
    found = N.edit_effects(scores, scores)
    assert all((found[k] == 0).all() for k in ("change", "shift", "leaves_5", "leaves_10"))
    assert found["rbo"] == pytest.approx(1)


def test_one_resume_that_falls_behind_two():
    before = np.array([[5.0], [4], [3], [2], [1]])
    after = before.copy()
    after[0] = 2.5  # behind 4 and 3
    found = N.edit_effects(before, after, ks=(1, 2, 3))
    assert found["shift"][0] == pytest.approx(2 / 5)
    assert [found[f"leaves_{k}"][0] for k in (1, 2, 3)] == pytest.approx([1, 0.5, 0])
    assert found["change"][0] == pytest.approx(2.5 / 5 / np.sqrt(2))


@given(st.integers(1, 30), st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_rotations_give_each_cell_each_resume_once(n, sizes):
    ends = np.cumsum([0, *sizes])
    cells = [list(range(a, b)) for a, b in pairwise(ends)]
    cell, name = N.rotations(n, cells)
    assert (np.sort(cell, axis=0) == np.arange(len(cells))[:, None]).all()
    assert all(v in cells[c] for c, v in zip(cell.ravel(), name.ravel(), strict=True))


def test_impact_ratio_by_hand():
    assert N.impact_ratio([0.2, 0.25]) == pytest.approx(0.8)
    assert N.impact_ratio([[0.5, 0.1, 0.4], [0.3, 0.3, 0.3]]) == pytest.approx([0.2, 1])
    assert N.impact_ratio([0.0, 0.3]) == 0
    assert np.isnan(N.impact_ratio([0.0, 0.0]))


def test_names_that_do_nothing_select_every_cell_alike():
    pool = np.random.default_rng(1).normal(size=(1, 30, 4))
    scores = np.repeat(pool, 6, axis=0)
    rates = N.selection_rates(scores, [[0, 1], [2, 3], [4, 5]], k=6)
    assert rates == pytest.approx(np.full((4, 3), 0.2))
    assert N.impact_ratio(rates.mean(0)) == pytest.approx(1)
    assert N.dealt_ratios(scores, [[0, 1], [2, 3], [4, 5]], 6, deals=5) == pytest.approx(1)
    with pytest.raises(ValueError, match="k must be 1 to 29, got 30"):
        N.selection_rates(scores, [[0], [1]], k=30)


def test_effects_of_cells_are_in_spreads_of_a_pool():
    rng = np.random.default_rng(2)
    scores = np.repeat(rng.normal(size=(1, 25, 12)), 12, axis=0)
    scores[:6] += 0.3 * scores[0].std(axis=0)
    cells = {"a": range(6), "b": range(6, 12)}
    rows, scaled = (N.cell_effects(s, cells, deals=2000) for s in (scores, 7 * scores - 3))
    assert [r["effect"] for r in rows] == pytest.approx([0.3, -0.3])
    assert [r["effect"] for r in scaled] == pytest.approx([0.3, -0.3])
    assert all(r["p_holm"] >= r["p"] and r["p"] < 0.01 and r["n"] == 12 for r in rows)


def test_an_effect_of_single_names_is_no_effect_of_a_group():
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(20):
        scores = rng.normal(size=(1, 20, 10)) + 0.2 * rng.normal(size=(16, 1, 1))
        rows = N.cell_effects(scores, {"a": range(8), "b": range(8, 16)}, deals=400)
        assert all(abs(r["high"] - r["low"]) < 0.1 for r in rows)  # the jobs agree ...
        false += rows[0]["p"] < 0.05
    assert false <= 4  # ... and the deals know that they don't count


def test_pairs_that_share_a_word_are_left_out():
    scores = np.repeat(np.random.default_rng(4).normal(size=(1, 8, 3)), 4, axis=0)
    scores[[1, 3]] += 1  # distances 1 inside both cells; 0, 1, 1, 0 between them
    unit, cells = (1 / scores[0].std(axis=0)).mean(), [[0, 1], [2, 3]]
    found = N.between_excess(scores, cells, deals=10)
    assert found["excess"] == pytest.approx((0.5 - 1) * unit)
    found = N.between_excess(scores, cells, ["A X", "B Y", "C X", "D Z"], deals=10)
    assert found["excess"] == pytest.approx((2 / 3 - 1) * unit)
    with pytest.raises(ValueError, match="two cells"):
        N.between_excess(scores, [[0, 1, 2, 3]])


# ------------------------------------------------------------------ the record


def test_the_record_holds_numbers_and_published_names(root):
    path = root / "data" / "results" / "names.json"
    record = read_json(path)
    assert record["n"]["split"] == "validation"
    assert record["stripped"]["one text left"] == record["stripped"]["resumes"]
    shown = {n for c in record["names"]["cells"].values() for n in c["names"]}
    assert shown <= set(EVERY)
    for r in record["edits"]:
        assert r["low"] <= r["value"] + 1e-12 and r["value"] <= r["high"] + 1e-12


def test_no_number_looks_like_a_small_p():
    scores = np.random.default_rng(0).normal(size=(4, 9, 3))
    who = ["A Walsh", "B Walsh", "C Jones", "D Jones"]
    with pytest.raises(ValueError, match="that share no word, got 0 and 4"):
        N.between_excess(scores, [[0, 1], [2, 3]], who, deals=9)
    with pytest.raises(ValueError, match="that have names, got"):
        N.cell_effects(scores, {"a": [0, 1, 2, 3], "b": []}, deals=9)
    few = N.between_excess(scores, [[0, 1], [2, 3]], [*who[:3], "D Smith"], deals=99)
    assert np.isfinite(few["excess"]) and 0 < few["p"] <= 1
    scores[1, 2, 0] = np.nan
    for call in (lambda: N.between_excess(scores, [[0, 1], [2, 3]], deals=9),
                 lambda: N.cell_effects(scores, {"a": [0, 1], "b": [2, 3]}, deals=9)):
        with pytest.raises(ValueError, match="finite"):
            call()
