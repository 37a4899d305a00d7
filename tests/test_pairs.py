"""Pairs: caps hold, grades are what the formula says, and negatives are certain."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resume_contrastive.documents import Document
from resume_contrastive.pairs import (
    PAIR_COLUMNS,
    PairConfig,
    category_affinity,
    lexical_similarity,
    make_pairs,
    normalise_title,
    role_matrix,
    wrong_category_negatives,
)

TITLES = [
    "cook",
    "head chef",
    "sous chef",
    "nurse",
    "staff nurse",
    "software engineer",
    "baker",
    "",
]


def resume(n, title, category=""):
    return Document(id=f"r{n}", kind="resume", title=title, category=category)


def job(n, title):
    return Document(id=f"j{n}", kind="job", title=title)


def crossed(matrix):
    "A similarity that looks its values up: titles are 'r<row>' and 'j<column>'"

    def similarity(a, b):
        return np.array([[matrix[int(x[1:])][int(y[1:])] for y in b] for x in a], float)

    return similarity


def sides(matrix):
    return (
        [resume(n, f"r{n}") for n in range(len(matrix))],
        [job(n, f"j{n}") for n in range(len(matrix[0]))],
    )


# ---------------------------------------------------------------- titles


@pytest.mark.parametrize(
    ("title", "want"),
    [
        ("Sr. Data Engineer (Hybrid) [Ref 12]", "data engineer"),
        ("C++ / C# Developer", "c++ c# developer"),
        ("Registered Nurse, ICU", "registered nurse"),
        ("Head Chef | Acme", "head chef"),
        ("R&D Engineer III", "r&d engineer"),
        ("Full-Time Accountant", "accountant"),
        ("Lead", "lead"),
        ("", ""),
    ],
)
def test_titles_by_hand(title, want):
    assert normalise_title(title) == want


@given(st.text("abC -,:()/|&+#1Sr.", max_size=30))
def test_a_title_never_disappears_and_is_tidy(title):
    short = normalise_title(title)
    assert bool(short) == bool(title.split())
    assert short == " ".join(short.split())


@settings(deadline=None)
@given(st.lists(st.sampled_from(TITLES[:-1]), min_size=1, max_size=6))
def test_lexical_similarity_is_symmetric_and_one_on_the_diagonal(titles):
    s = lexical_similarity(titles, titles)
    assert np.allclose(s, s.T) and np.allclose(s.diagonal(), 1)
    assert s.min() >= 0 and s.max() <= 1 + 1e-9


def test_lexical_similarity_of_nothing():
    assert lexical_similarity([" "], ["", " "]).tolist() == [[0, 0]]
    assert lexical_similarity([], []).shape == (0, 0)


def test_equal_titles_are_compared_once_and_missing_titles_are_zero():
    asked = []

    def similarity(a, b):
        asked.append((list(a), list(b)))
        return np.ones((len(a), len(b)))

    m = role_matrix(
        [resume(0, "Cook"), resume(1, ""), resume(2, "COOK (nights)")],
        [job(0, "Chef"), job(1, ""), job(2, "chef")],
        similarity,
    )
    assert asked == [(["cook"], ["chef"])]
    assert m.tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 1]] and m.dtype == np.float32
    assert role_matrix([resume(0, "")], [job(0, "chef")], similarity).tolist() == [[0]]


# ---------------------------------------------------------------- pairs


def test_the_grade_is_role_times_one_plus_fit_over_two():
    m = [[0.8, 0.2], [0.1, 1.0]]
    fit = np.array([[0.25, np.nan], [0.0, np.nan]])
    pairs, report = make_pairs(
        *sides(m), similarity=crossed(m), fit=lambda r, j: fit[:, [int(d.id[1:]) for d in j]]
    )
    assert list(pairs.columns) == list(PAIR_COLUMNS)
    assert pairs[["resume_id", "job_id"]].values.tolist() == [["r0", "j0"], ["r1", "j1"]]
    # 0.8 * (1 + 0.25) / 2, and with an unknown fit 1.0 * (1 + 0.5) / 2
    assert pairs.label.tolist() == pytest.approx([0.5, 0.75])
    assert pairs.fit.tolist()[0] == 0.25 and np.isnan(pairs.fit[1])
    assert report["fit_known"] == 1 and report["candidates"] == report["pairs"] == 2


def test_greedy_choice_under_caps_by_hand():
    # best first: (0,0) .95; (1,0) .9 is over the job's cap; (0,1) .85 is over the resume's; (1,1)
    m = [[0.95, 0.85], [0.9, 0.8]]
    pairs, report = make_pairs(
        *sides(m), similarity=crossed(m), config=PairConfig(jobs_per_resume=1, resumes_per_job=1)
    )
    assert pairs[["resume_id", "job_id"]].values.tolist() == [["r0", "j0"], ["r1", "j1"]]
    assert report["dropped_by_caps"] == 2 and report["candidates"] == 4


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 3))
def test_caps_threshold_and_counts_hold_for_any_matrix(seed, per_resume, per_job):
    rng = np.random.default_rng(seed)
    m = rng.random((6, 5)).round(2)
    m[0, 0] = 0.9
    config = PairConfig(jobs_per_resume=per_resume, resumes_per_job=per_job, seed=seed)
    pairs, report = make_pairs(*sides(m), similarity=crossed(m), config=config)
    assert pairs.groupby("resume_id").size().max() <= per_resume
    assert pairs.groupby("job_id").size().max() <= per_job
    assert pairs.role.min() >= config.min_role - 1e-6 and not pairs.duplicated().any()
    assert (pairs.label <= pairs.role).all() and (pairs.label >= pairs.role / 2).all()
    assert report["candidates"] == int((m.astype(np.float32) >= config.min_role).sum())
    assert report["pairs"] == len(pairs) == sum(report["by_category"].values())
    # a pair that was left out is blocked by a full resume or a full job
    full_r, full_j = pairs.groupby("resume_id").size(), pairs.groupby("job_id").size()
    kept = set(zip(pairs.resume_id, pairs.job_id, strict=True))
    for i, j in zip(*np.nonzero(m.astype(np.float32) >= config.min_role), strict=True):
        if (f"r{i}", f"j{j}") not in kept:
            assert full_r.get(f"r{i}", 0) == per_resume or full_j.get(f"j{j}", 0) == per_job


def test_the_seed_decides_between_equals_and_nothing_else():
    m = np.ones((12, 12))
    m[:, 0] = 0.9
    results = {}
    for seed in (0, 0, 1):
        pairs, _ = make_pairs(
            *sides(m),
            similarity=crossed(m),
            config=PairConfig(jobs_per_resume=1, resumes_per_job=1, seed=seed),
        )
        chosen = tuple(zip(pairs.resume_id, pairs.job_id, strict=True))
        assert len(chosen) == 12
        results.setdefault(seed, set()).add(chosen)
    assert len(results[0]) == 1 and results[0] != results[1]


def test_fit_is_asked_in_blocks_and_lands_on_its_own_pair():
    n = 600  # more than two blocks of 256
    resumes = [resume(i, "cook") for i in range(n)]
    jobs = [job(j, "cook") for j in range(150)]
    asked = []

    def fit(r, j):
        asked.append(len(r))
        return np.array(
            [[(int(a.id[1:]) * 7 + int(b.id[1:]) * 13) % 101 / 100 for b in j] for a in r]
        )

    pairs, _ = make_pairs(resumes, jobs, similarity=lambda a, b: np.ones((len(a), len(b))), fit=fit)
    want = [
        (int(r[1:]) * 7 + int(j[1:]) * 13) % 101 / 100
        for r, j in zip(pairs.resume_id, pairs.job_id, strict=True)
    ]
    assert pairs.fit.tolist() == pytest.approx(want) and max(asked) <= 256 and len(pairs) == 600


def test_nothing_that_matches_is_a_sentence_without_text():
    with pytest.raises(ValueError, match="no resume title is like a job title") as e:
        make_pairs(
            [resume(0, "secret name")], [job(0, "chef")], similarity=lambda a, b: np.zeros((1, 1))
        )
    assert "secret" not in str(e.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(min_role=1.5), "min_role must be in"),
        (dict(jobs_per_resume=0), "got 0 and 4"),
        (dict(resumes_per_job=-1), "got 4 and -1"),
        (dict(near_category=2), "near_category must be in"),
    ],
)
def test_config_says_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        PairConfig(**change)


# ---------------------------------------------------------------- negatives


def test_affinity_by_hand():
    docs = [resume(0, "", "A"), resume(1, "", "A"), resume(2, "", "B"), resume(3, "", "")]
    role = np.array([[1, 0, 0.64], [1, 0.7, 0], [0, 0.9, 0.9], [1, 1, 1]])
    names, affinity = category_affinity(docs, role)
    # counts A = (2, 1, 0), B = (0, 1, 1): cosine 1 / (sqrt 5 * sqrt 2)
    assert names == ["A", "B"] and affinity[0, 1] == pytest.approx(1 / np.sqrt(10))
    assert affinity.diagonal().tolist() == [1, 1]


def test_a_category_without_jobs_is_near_to_nothing_but_itself():
    names, affinity = category_affinity(
        [resume(0, "", "A"), resume(1, "", "B")], np.array([[0.9], [0.0]])
    )
    assert names == ["A", "B"] and affinity.tolist() == [[1, 0], [0, 1]]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_negatives_are_far_from_every_category_of_the_job(seed):
    rng = np.random.default_rng(seed)
    names = list("ABCDE")
    matrix = rng.random((5, 5))
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1)
    docs = [resume(n, "", names[rng.integers(5)]) for n in range(15)] + [resume(99, "", "")]
    category = {d.id: d.category for d in docs}
    pairs = pd.DataFrame(
        {
            "resume_id": [f"r{i}" for i in rng.integers(0, 15, 20)],
            "job_id": [f"j{i}" for i in rng.integers(0, 4, 20)],
        }
    )
    wrong = wrong_category_negatives(pairs, docs, (names, matrix), near=0.4, seed=seed)
    for r, j in zip(wrong.resume_id, wrong.job_id, strict=True):
        assert category[r]
        for own in pairs.resume_id[pairs.job_id == j]:
            assert matrix[names.index(category[r]), names.index(category[own])] < 0.4
    again = wrong_category_negatives(pairs, docs, (names, matrix), near=0.4, seed=seed)
    assert again.equals(wrong)


def test_no_category_means_no_certain_negative():
    pairs = pd.DataFrame({"resume_id": ["r0"], "job_id": ["j0"]})
    near = (["A", "B"], np.eye(2))
    docs = [resume(0, "", ""), resume(1, "", "B")]
    assert len(wrong_category_negatives(pairs, docs, near)) == 0
    assert len(wrong_category_negatives(pairs, [resume(0, "", "A"), docs[1]], near)) == 1
