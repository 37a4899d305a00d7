"""Contracts of mining on the installed package: never a fit, exact ranks, bounded memory."""

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resume_contrastive.mining import MiningConfig, band_ranks, mine, mine_both, top_k


def test_import_is_light():
    code = (
        "import sys, resume_contrastive.mining; "
        "print([m for m in ('torch', 'pandas', 'matplotlib', 'sklearn') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"band": (0.5, 0.2)}, "band must satisfy 0 <= first < stop <= 1, got (0.5, 0.2)"),
        ({"band": (0.5, 1.2)}, "band must satisfy"),
        ({"ceiling": 0.0}, "ceiling must be in (0, 1] or None, got 0.0"),
        ({"ceiling": float("nan")}, "ceiling must be in (0, 1] or None, got nan"),
        ({"margin": -1.0}, "margin must be >= 0 or None, got -1.0"),
        ({"min_band_items": 0}, "min_band_items must be at least 1, got 0"),
        ({"per_positive": 0}, "per_positive must be at least 1, got 0"),
        ({"block_mb": 0}, "block_mb must be at least 1, got 0"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
        ({"pick": "best"}, "pick must be one of"),
        ({"similarity": "l2"}, "similarity must be one of"),
    ],
)
def test_config_validates_itself(change, message):
    with pytest.raises(ValueError) as error:
        MiningConfig(**change)
    assert message in str(error.value)


def test_config_is_frozen_and_keyword_only():
    with pytest.raises(AttributeError):
        MiningConfig().seed = 1
    with pytest.raises(TypeError):
        MiningConfig((0.1, 0.2))


@given(st.integers(1, 5000), st.integers(1, 50), st.floats(0, 0.99), st.floats(0.001, 1))
def test_band_holds_enough_and_stays_in_the_pool(n, least, lo, width):
    config = MiningConfig(band=(lo, min(1.0, lo + width)), min_band_items=least)
    first, stop = band_ranks(n, config)
    assert 0 <= first < stop <= n
    assert stop - first >= min(least, n)


def test_band_of_the_paper():
    paper = MiningConfig(min_band_items=1)
    assert [band_ranks(n, paper) for n in (280, 2000)] == [(8, 11), (60, 80)]


world = st.tuples(
    st.integers(1, 12),  # queries
    st.integers(1, 40),  # pool
    st.integers(0, 2**32 - 1),  # seed of everything else
    st.sampled_from([None, 0.5, 0.95, 1.0]),
    st.sampled_from([None, 0.0, 0.1]),
    st.sampled_from(["random", "hardest"]),
)


@settings(max_examples=150, deadline=None)
@given(world)
def test_never_a_fit_nor_a_group_mate_nor_above_the_limit(world):
    n, m, seed, ceiling, margin, pick = world
    rng = np.random.default_rng(seed)
    q, p = rng.standard_normal((n, 3)), rng.standard_normal((m, 3))
    qg, pg = rng.integers(0, n, n), rng.integers(0, m, m)
    positives, exclude = (
        np.stack([rng.integers(0, n, k), rng.integers(0, m, k)], 1) for k in (5, 2)
    )
    config = MiningConfig(
        band=(0.1, 0.6), ceiling=ceiling, margin=margin, pick=pick, per_positive=3, seed=seed
    )
    mined = mine(q, p, positives, config=config, exclude=exclude, query_groups=qg, pool_groups=pg)
    known = {(qg[a], pg[b]) for a, b in [*positives, *exclude]}
    for i, j in zip(mined.query, mined.negative, strict=True):
        assert (qg[i], pg[j]) not in known
    own = mined.positive_score
    if ceiling is not None:
        assert (mined.score <= own - (1 - ceiling) * np.abs(own) + 1e-6).all()
    if margin is not None:
        assert (mined.score <= own - margin + 1e-6).all()
    lo, hi = mined.report.band
    assert ((mined.rank >= lo) & (mined.rank < hi)).all()
    report = mined.report
    assert report.candidates == len(positives) * (hi - lo)
    assert report.candidates == sum(report.rejects.values()) + report.eligible
    assert report.mined == len(mined) and (mined.matrix() >= 0).sum() == len(mined)
    assert len({*zip(mined.pair.tolist(), mined.negative.tolist(), strict=True)}) == len(mined)
    json.dumps(report.as_dict())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 60), st.integers(0, 2**32 - 1), st.data())
def test_top_k_equals_the_full_sort_with_ties(n, m, seed, data):
    rng = np.random.default_rng(seed)
    q, p = rng.integers(-1, 2, (n, 3)), rng.integers(-1, 2, (m, 3))  # exact scores, many ties
    k = data.draw(st.integers(1, m))
    index, scores = top_k(q, p, k, similarity="dot")
    full = np.lexsort((np.broadcast_to(np.arange(m), (n, m)), -(q @ p.T)), axis=1)[:, :k]
    assert (index == full).all()
    assert (scores == np.take_along_axis(q @ p.T, full, 1)).all()


def test_ranks_and_scores_are_those_of_the_whole_pool():
    rng = np.random.default_rng(0)
    q, p = rng.standard_normal((30, 8)), rng.standard_normal((500, 8))
    mined = mine(q, p, [(i, i) for i in range(30)], config=MiningConfig(per_positive=4))
    unit = [x / np.linalg.norm(x, axis=1)[:, None] for x in (q, p)]
    scores = unit[0] @ unit[1].T
    ranks = (-scores).argsort(1).argsort(1)
    assert (mined.rank == ranks[mined.query, mined.negative]).all()
    np.testing.assert_allclose(mined.score, scores[mined.query, mined.negative], atol=1e-6)
    np.testing.assert_allclose(mined.positive_score, scores[mined.query, mined.positive], atol=1e-6)


def test_a_planted_false_negative_is_removed_by_the_ceiling():
    rng = np.random.default_rng(1)
    jobs = rng.standard_normal((200, 16))
    resumes = jobs[:50] + 0.6 * rng.standard_normal((50, 16))
    jobs[100:150] = resumes + 0.3 * rng.standard_normal((50, 16))  # unlabelled, and closer
    pairs = [(i, i) for i in range(50)]
    top = dict(band=(0.0, 0.1), pick="hardest")
    fell_for = mine(resumes, jobs, pairs, config=MiningConfig(ceiling=None, **top))
    spared = mine(resumes, jobs, pairs, config=MiningConfig(**top))
    planted = [(m.negative == m.query + 100).mean() for m in (fell_for, spared)]
    assert planted[0] > 0.9 and planted[1] < 0.1
    assert spared.report.rejects["above the ceiling"] >= 45


def test_negative_scores_keep_the_ceiling_below_the_positive():
    q = np.array([[1.0, 0.0]])
    p = np.array([[-1.0, 2.0], [-1.0, 1.99], [-1.0, 1.0]])  # cosines -.447, -.449, -.707
    config = MiningConfig(band=(0, 1), pick="hardest")
    assert mine(q, p, [(0, 0)], config=config).negative.tolist() == [2]


def test_the_draw_depends_on_nobody_else():
    rng = np.random.default_rng(2)
    q, p = rng.standard_normal((40, 8)), rng.standard_normal((3000, 8))
    pairs = np.stack([np.arange(40), rng.integers(0, 3000, 40)], 1)
    whole = mine(q, p, pairs).matrix()
    assert (mine(q, p, pairs).matrix() == whole).all()
    assert (mine(q, p, pairs[::-1]).matrix() == whole[::-1]).all()
    assert (mine(q, p, pairs[5:9]).matrix() == whole[5:9]).all()
    assert (mine(q, p, pairs, config=MiningConfig(seed=7)).matrix() != whole).any()
    free = mine(q, p, pairs, config=MiningConfig(ceiling=None))
    assert len(set(free.rank.tolist())) > 10  # every pair draws its own place among the 30


def test_both_directions_and_empty_and_tiny_pools():
    rng = np.random.default_rng(3)
    r, j = rng.standard_normal((20, 4)), rng.standard_normal((30, 4))
    jobs, resumes = mine_both(r, j, [(0, 1), (2, 3)], config=MiningConfig(ceiling=None))
    assert (jobs.report.pool, resumes.report.pool) == (30, 20)
    assert (jobs.query.tolist(), resumes.query.tolist()) == ([0, 2], [1, 3])
    assert len(mine(r, j, [])) == 0
    assert "got none" in mine(r, j, []).report.render()
    alone = mine(r, j[:1], [(0, 0)])
    assert alone.report.without == 1 and alone.matrix().tolist() == [[-1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positives": [(0, 9)]}, "positives must index 4 queries and 5 pool items, got (0, 9)"),
        ({"positives": [(-1, 0)]}, "got (-1, 0)"),
        ({"positives": [(0.5, 1.0)]}, "positives must be (k, 2) whole numbers"),
        ({"exclude": [(4, 0)]}, "exclude must index"),
        ({"query_groups": [1]}, "query_groups must hold one label for each of 4 rows, got 1"),
        ({"queries": np.full((4, 3), np.nan)}, "queries must be finite: 4 rows are not"),
        ({"queries": np.zeros((4, 2))}, "must be equally wide, got 2, 3"),
        ({"pool": np.zeros((0, 3))}, "pool must be numbers of shape (n, d)"),
        ({"pool": np.array([["a"]])}, "pool must be numbers of shape (n, d)"),
    ],
)
def test_bad_input_raises_one_sentence(change, message):
    given = {"queries": np.eye(4, 3), "pool": np.eye(5, 3), "positives": [(0, 0)]} | change
    with pytest.raises(ValueError) as error:
        mine(**given)
    assert message in str(error.value)


def test_memory_is_bounded_by_the_block():
    rng = np.random.default_rng(4)
    q, p = rng.standard_normal((200, 8), np.float32), rng.standard_normal((100_000, 8), np.float32)
    pairs = [(i, i) for i in range(200)]
    tracemalloc.start()
    mine(q, p, pairs, config=MiningConfig(block_mb=4))
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert peak < 20, peak  # the scores alone are 76 MiB
