"""Occupations: spelling, look-up by relaxation, ambiguity kept, agreement by level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resume_contrastive.occupations import (
    HOW,
    VAGUE,
    Occupations,
    TitleMatch,
    agreement,
    canonical_title,
    read_occupations,
)

ROWS = [
    ("11-1021.00", "General and Operations Managers", "Operations Manager"),
    ("15-1252.00", "Software Developers", "Software Engineer"),
    ("15-1252.00", "Software Developers", "Application Developer"),
    ("15-1254.00", "Web Developers", "Application Developer"),
    ("29-1141.00", "Registered Nurses", "Staff Nurse"),
    ("29-1141.00", "Registered Nurses", "Registered Nurse (RN)"),
    ("29-1141.01", "Acute Care Nurses", "Staff Nurse"),
    ("21-1013.00", "Marriage and Family Therapists", "Family Therapist"),
    ("11-3031.00", "Financial Managers", "Finance Director"),
    *[(f"51-{n}.00", f"Machine {n}s", f"Machine {n} Operator") for n in range(1000, 1070)],
]
WORDS = ["senior", "software", "engineer", "nurse", "staff", "family", "therapist", "operator", ""]


@pytest.fixture(scope="module")
def occupations():
    return Occupations(ROWS)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Sr. HR Mgr", "Human Resources Managers"),
        ("RN", "Registered nurse (days)"),
        ("Asst. Dir. of Finance", "Assistant Director of Finance"),
        ("Secretaries", "secretary"),
        ("Community Co-ordinator", "community coordinator"),
        ("Counsellor", "counselors"),
        ("Manager, Sales", "Sales manager"),
    ],
)
def test_two_spellings_of_one_title_are_equal(a, b):
    assert canonical_title(a) == canonical_title(b) != ()


@pytest.mark.parametrize(
    ("title", "how", "codes"),
    [
        ("Senior Software Engineer II (Remote)", "as listed", {"15-1252.00"}),
        ("RN", "as listed", {"29-1141.00"}),
        ("Director of Finance", "other word order", {"11-3031.00"}),
        ("Bank Systemic Family Therapist", "a part", {"21-1013.00"}),
        ("Staff Nurse Paediatrics", "a part", {"29-1141.00", "29-1141.01"}),
        ("Application Developer", "as listed", {"15-1252.00", "15-1254.00"}),
        ("Software Engineer Operator", "", set()),  # an operator, not an engineer
        ("Operator", VAGUE, set()),
        ("Intern", VAGUE, set()),
        ("Astronaut", "", set()),
        ("", "", set()),
    ],
)
def test_look_up_by_hand(occupations, title, how, codes):
    found = occupations.find(title)
    assert (found.how, set(found.codes)) == (how, codes)


def test_an_occupations_own_name_weighs_twice():
    rows = [("1-1.00", "Bakers", "Cook"), ("2-2.00", "Cooks", "Chef")]
    assert Occupations(rows).find("cook").codes == pytest.approx({"1-1.00": 1 / 3, "2-2.00": 2 / 3})


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join))
def test_weights_add_up_or_there_are_none(title):
    found = SHARED.find(title)
    assert found.how in (*HOW, VAGUE, "")
    assert bool(found.codes) == (found.how in HOW)
    assert not found.codes or sum(found.codes.values()) == pytest.approx(1)
    assert 0 <= found.specificity <= 1 + 1e-9


SHARED = Occupations(ROWS)


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), min_size=1, max_size=6))
def test_agreement_is_symmetric_bounded_and_unknown_where_it_must_be(titles):
    found = [SHARED.find(t) for t in titles]
    score, level = agreement(found, found)
    np.testing.assert_allclose(score, score.T, atol=1e-6)
    np.testing.assert_array_equal(level, level.T)
    for i, a in enumerate(found):
        for j, b in enumerate(found):
            vague = VAGUE in (a.how, b.how)
            assert np.isnan(score[i, j]) == (not vague and not (a.codes and b.codes))
            assert not vague or score[i, j] == 0
        if a.codes:
            assert score[i, i] == pytest.approx(HOW[a.how] ** 2, abs=1e-5)
    assert np.nan_to_num(score).max() <= 1 + 1e-5


def test_levels_by_hand():
    one, other = (TitleMatch(how="as listed", codes={c: 1.0}) for c in ("15-1252.00", "15-1252.01"))
    near, far = (TitleMatch(how="as listed", codes={c: 1.0}) for c in ("15-1254.00", "29-1141.00"))
    score, level = agreement([one], [one, other, near, far])
    assert score[0].tolist() == pytest.approx([1, 0.8, 0.5, 0])
    assert level[0].tolist() == [0, 1, 2, -1]


def test_specificity_counts_minor_groups():
    assert TitleMatch(codes={"15-1252.00": 0.5, "15-1254.00": 0.5}).specificity == 1
    assert TitleMatch(codes={"15-1252.00": 0.5, "29-1141.00": 0.5}).specificity == 0.5
    assert TitleMatch().specificity == 0


def test_tables_are_read_or_refused_with_a_sentence(sample, tmp_path):
    found = read_occupations(sample / "onet")
    assert found.names and all(found.find(name).codes for name in found.names.values())
    with pytest.raises(ValueError, match="holds no alternate_titles"):
        read_occupations(tmp_path)
    (tmp_path / "alternate_titles.csv").write_text("Title,Alternate Title\nCooks,Chef\n")
    with pytest.raises(ValueError, match=r"has no column 'O\*NET-SOC Code'"):
        read_occupations(tmp_path)
    with pytest.raises(ValueError, match="there is no occupation"):
        Occupations([])


@pytest.mark.real
def test_most_real_titles_get_a_code(real_data):
    found = read_occupations(real_data / "onet")
    for title, code in (
        ("Accountant", "13-2011.00"),
        ("Executive Chef", "35-1011.00"),
        ("Data Scientist", "15-2051.00"),
        ("Sr. Software Engineer", "15-1252.00"),
        ("Registered Nurse - Nights", "29-1141.00"),
    ):
        assert code in found.find(title).codes, title
    assert found.find("Consultant").how == VAGUE and found.find("AVP").how in ("", *HOW)
