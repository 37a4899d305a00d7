"""Pairs: caps hold, grades are what the formula says, and negatives are certain."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resume_contrastive import pairs as pairs_module
from resume_contrastive.documents import Document
from resume_contrastive.occupations import Occupations, agreement
from resume_contrastive.pairs import (
    PAIR_COLUMNS,
    Cosines,
    PairConfig,
    category_affinity,
    lexical_similarity,
    make_pairs,
    match_roles,
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
        ("Sr. Director - Product Management", "product management director"),
        ("Manager, Sales (Leeds)", "sales manager"),
        ("Assistant Manager - HR", "hr assistant manager"),
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
    s = np.asarray(lexical_similarity(titles, titles))
    assert np.allclose(s, s.T) and np.allclose(s.diagonal(), 1)
    assert s.min() >= 0 and s.max() <= 1 + 1e-9


def test_lexical_similarity_of_nothing():
    assert np.asarray(lexical_similarity([" "], ["", " "])).tolist() == [[0, 0]]
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
        *sides(m), similarity=crossed(m), fit=lambda r, j: fit[int(r.id[1:]), int(j.id[1:])]
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


def test_fit_is_asked_for_the_pairs_only_and_lands_on_its_own():
    resumes = [resume(i, "cook") for i in range(60)]
    jobs = [job(j, "cook") for j in range(15)]
    asked = []

    def fit(r, j):
        asked.append((r.id, j.id))
        return (int(r.id[1:]) * 7 + int(j.id[1:]) * 13) % 101 / 100

    pairs, _ = make_pairs(resumes, jobs, similarity=lambda a, b: np.ones((len(a), len(b))), fit=fit)
    want = [
        (int(r[1:]) * 7 + int(j[1:]) * 13) % 101 / 100
        for r, j in zip(pairs.resume_id, pairs.job_id, strict=True)
    ]
    assert pairs.fit.tolist() == pytest.approx(want) and len(pairs) == 60
    assert sorted(asked) == sorted(zip(pairs.resume_id, pairs.job_id, strict=True))


# ---------------------------------------------------------------- pairs by occupation


def occupations():
    return Occupations(
        [
            ("15-1252.00", "Software Developers", "Software Engineer"),
            ("15-1254.00", "Web Developers", "Web Developer"),
            ("29-1141.00", "Registered Nurses", "Staff Nurse"),
            ("29-1141.00", "Registered Nurses", "Ward Nurse"),
            ("29-1141.01", "Acute Care Nurses", "Ward Nurse"),
            ("41-9031.00", "Sales Engineers", "Sales Engineer"),
        ]
    )


def matched(a, b, similarity, **config):
    config = PairConfig(**{"min_match": 0.01, **config})
    pairs, report = make_pairs(
        [resume(0, a)],
        [job(0, b)],
        similarity=lambda x, y: np.full((1, 1), similarity),
        occupations=occupations(),
        config=config,
    )
    return pairs.iloc[0], report


@pytest.mark.parametrize(
    ("a", "b", "similarity", "role", "reason"),
    [
        (
            "Software Engineer",
            "Software Developers",
            0.6,
            (0.6 + 1) / 2,
            "same occupation 15-1252.00",
        ),
        ("Software Engineer", "Web Developer", 0.6, (0.6 + 0.5) / 2, "same minor group 15-12"),
        ("Software Engineer", "Sales Engineer", 0.9, 0.45, "other occupation"),
        ("Software Engineer", "Astronaut", 0.9, 0.8, "occupation unknown"),
    ],
)
def test_role_is_the_mean_of_similarity_and_agreement(a, b, similarity, role, reason):
    pair, _ = matched(a, b, similarity)
    assert pair.role == pytest.approx(role) and pair.label == pytest.approx(role * 0.75)
    assert pair.reason == f"{reason}; title similarity {similarity:.2f}"


def dense(resumes, jobs, similarity, occupations):
    "Every cell at once, without a block and without unique titles"
    a, b = ([normalise_title(d.title) for d in side] for side in (resumes, jobs))
    title = np.asarray(similarity(sorted({*a} - {""}), sorted({*b} - {""})), np.float32)
    title = np.pad(title, ((0, 1), (0, 1)))  # the last row and column are for no title
    at = [[sorted({*x} - {""}).index(t) if t else -1 for t in x] for x in (a, b)]
    title = title[np.ix_(*at)]
    if occupations is None:
        return title, title
    agree, _ = agreement(*([occupations.find(d.title) for d in side] for side in (resumes, jobs)))
    role = np.where(np.isnan(agree), title - pairs_module.UNKNOWN_COST, (title + agree) / 2)
    return np.where(title > 0, role, 0), title


NAMES = ["Software Engineer", "SOFTWARE ENGINEER (nights)", "web developer", "Staff nurse", "",
         "ward nurse", "sales engineer", "Pilot", "Web Developer - London", "baker"]  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from(NAMES), max_size=12).map(lambda x: [*x, "pilot"]),
    st.lists(st.sampled_from(NAMES), max_size=12).map(lambda x: [*x, "Web developer"]),
    st.booleans(),
    st.sampled_from([0.05, 0.4, 0.75]),
    st.sampled_from([1, 30, 2**23]),
)
def test_roles_in_blocks_are_those_of_the_dense_matrix(a, b, known, least, cells):
    resumes, jobs = [resume(n, t) for n, t in enumerate(a)], [job(n, t) for n, t in enumerate(b)]
    table = occupations() if known else None
    role, title = dense(resumes, jobs, lexical_similarity, table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs_module, "_CELLS", cells)
        match = match_roles(resumes, jobs, occupations=table, least=least)
        r, j = np.indices(role.shape).reshape(2, -1)
        assert match.cells(r, j)[0] == pytest.approx(role.ravel(), abs=1e-6)
    assert list(zip(match.r, match.j, strict=True)) == list(
        zip(*np.nonzero(role >= least), strict=True)
    )
    assert match.role == pytest.approx(role[match.r, match.j], abs=1e-6)
    assert match.title == pytest.approx(title[match.r, match.j], abs=1e-6)
    assert match.best[0] == pytest.approx(role.max(1), abs=1e-6)
    assert match.best[1] == pytest.approx(role.max(0), abs=1e-6)
    held = np.asarray(match.matrix().toarray())
    assert held == pytest.approx(np.where(role >= least, role, 0), abs=1e-6)


def test_no_matrix_of_all_cells_is_made(monkeypatch):
    "1,000 x 1,000 different titles: 4 MB for one array of float32, and there would be several"
    import tracemalloc

    monkeypatch.setattr(pairs_module, "_CELLS", 2**15)
    sides = [[make(n, f"{word} {n}") for n in range(1000)]
             for make, word in ((resume, "cook"), (job, "chef"))]  # fmt: skip
    tracemalloc.start()
    match = match_roles(*sides, occupations=occupations(), least=0.99)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(match.r) == 0 and peak < 1000 * 1000 * 4


def test_an_ambiguous_title_makes_a_less_certain_pair():
    sure, _ = matched("Software Engineer", "Software Engineer", 1.0)
    open_, _ = matched("Ward Nurse", "Ward Nurse", 1.0)  # two codes, but of one minor group
    unknown, _ = matched("Astronaut", "Astronaut", 1.0)
    assert sure.confidence == open_.confidence == pytest.approx(1.0)
    assert "?" in open_.reason and "?" not in sure.reason
    assert unknown.confidence == pytest.approx(0.9 / 2)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_with_occupations_the_caps_and_the_threshold_still_hold(seed):
    rng = np.random.default_rng(seed)
    names = ["software engineer", "web developer", "staff nurse", "sales engineer", "pilot", ""]
    resumes = [resume(n, names[rng.integers(6)]) for n in range(12)] + [resume(99, "web developer")]
    jobs = [job(n, names[rng.integers(6)]) for n in range(8)] + [job(99, "web developer")]
    pairs, report = make_pairs(resumes, jobs, occupations=occupations())
    assert pairs.role.min() >= 0.75 - 1e-6 and pairs.confidence.le(pairs.role + 1e-9).all()
    assert pairs.groupby("resume_id").size().max() <= 4
    assert pairs.groupby("job_id").size().max() <= 4
    assert sum(report["by_reason"].values()) == len(pairs)
    titles = {d.id: d.title for d in (*resumes, *jobs)}
    assert all(titles[r] and titles[j] for r, j in zip(pairs.resume_id, pairs.job_id, strict=True))


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
        (dict(min_match=0), "min_match must be in"),
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


def test_of_a_category_without_jobs_nothing_is_known_and_it_is_never_a_certain_negative():
    docs = [resume(0, "", "A"), resume(1, "", "B"), resume(2, "", "C")]
    near = category_affinity(docs, np.array([[0.9, 0], [0, 0], [0, 0.9]]))
    names, affinity = near
    assert names == ["A", "B", "C"] and affinity.diagonal().tolist() == [1, 1, 1]
    assert np.isnan(affinity[1, [0, 2]]).all() and affinity[0, 2] == 0
    pairs = pd.DataFrame({"resume_id": ["r0"] * 20, "job_id": ["j0"] * 20})
    assert set(wrong_category_negatives(pairs, docs, near).resume_id) == {"r2"}


def test_categories_that_hold_the_same_occupations_are_near_without_any_shared_job():
    docs = [
        resume(0, "Staff Nurse", "CARE"),
        resume(1, "Registered Nurses", "HOSPITAL"),
        resume(2, "Web Developer", "IT"),
    ]
    role = np.array([[0.9, 0, 0], [0, 0.9, 0], [0, 0, 0.9]])
    assert category_affinity(docs, role)[1][0].tolist() == [1, 0, 0]
    assert category_affinity(docs, role, occupations=occupations())[1][0].tolist() == [1, 1, 0]


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


def test_similarities_have_the_same_bits_for_any_number_of_threads():
    """Pairs are cut at a threshold, and their figures are hashed with the data set."""
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, 384), dtype=np.float32) for n in (400, 3000))
    found = []
    for threads in (1, 2, 4):
        with threadpool_limits(threads, user_api="blas"):
            found.append(Cosines(a, b)[:])
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
    np.testing.assert_allclose(found[0], a @ b.T, rtol=1e-3, atol=1e-3)
