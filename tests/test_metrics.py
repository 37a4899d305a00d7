"""Metrics: equal to other libraries, to hand-worked rows and to chance where nothing is known."""

import subprocess
import sys
import time

import numpy as np
import pytest

from resume_contrastive import metrics as m

QUERY_METRICS = {
    "ndcg": m.ndcg_at_k,
    "ap": m.average_precision,
    "rr": m.reciprocal_rank,
    "recall": m.recall_at_k,
    "precision": m.precision_at_k,
    "auc": m.auc,
    "pairs": m.pairwise_accuracy,
    "spearman": m.spearman_rows,
    "kendall": m.kendall_rows,
}


@pytest.fixture
def random_case():
    rng = np.random.default_rng(11)
    scores = rng.random((120, 25))
    gains = rng.choice([0, 0, 0, 1, 2, 3], (120, 25)).astype(float)
    gains[:, 0], gains[:, 1] = 0, 2
    return scores, gains


def test_equal_to_ir_measures(random_case):
    ir = pytest.importorskip("ir_measures")
    scores, gains = random_case
    cells = [(q, d) for q in range(scores.shape[0]) for d in range(scores.shape[1])]
    qrels = [ir.Qrel(str(q), str(d), int(gains[q, d])) for q, d in cells]
    run = [ir.ScoredDoc(str(q), str(d), float(scores[q, d])) for q, d in cells]
    pairs = {
        ir.nDCG @ 10: m.ndcg_at_k(scores, gains, k=10),
        ir.nDCG @ 5: m.ndcg_at_k(scores, gains, k=5),
        ir.AP: m.average_precision(scores, gains),
        ir.AP(rel=2): m.average_precision(scores, gains, above=1),
        ir.RR: m.reciprocal_rank(scores, gains),
        ir.R @ 10: m.recall_at_k(scores, gains, k=10),
        ir.P @ 10: m.precision_at_k(scores, gains, k=10),
    }
    seen = 0
    for x in ir.iter_calc(list(pairs), qrels, run):
        assert pairs[x.measure][int(x.query_id)] == pytest.approx(x.value, abs=1e-6), x
        seen += 1
    assert seen == len(pairs) * len(scores)


def test_equal_to_sklearn_and_scipy(random_case):
    sk = pytest.importorskip("sklearn.metrics")
    stats = pytest.importorskip("scipy.stats")
    scores, gains = random_case
    tied = np.round(scores * 4)
    rows = range(len(scores))
    hit = gains > 0
    for s in (scores, tied):
        for k in (1, 5, 25, 99):
            assert m.ndcg_at_k(s, gains, k=k).mean() == pytest.approx(sk.ndcg_score(gains, s, k=k))
        exp2 = sk.ndcg_score(2**gains - 1, s, k=10)
        assert m.ndcg_at_k(s, gains, gain="exp2").mean() == pytest.approx(exp2)
        want = [sk.roc_auc_score(hit[i], s[i]) for i in rows]
        np.testing.assert_allclose(m.auc(s, gains), want, atol=1e-12)
        assert m.pooled_auc(s, gains) == pytest.approx(sk.roc_auc_score(hit.ravel(), s.ravel()))
        want = [stats.spearmanr(s[i], gains[i]).statistic for i in rows]
        np.testing.assert_allclose(m.spearman_rows(s, gains), want, atol=1e-12)
        want = [stats.kendalltau(s[i], gains[i]).statistic for i in rows]
        np.testing.assert_allclose(m.kendall_rows(s, gains), want, atol=1e-12)
    want = [sk.average_precision_score(hit[i], scores[i]) for i in rows]
    np.testing.assert_allclose(m.average_precision(scores, gains), want, atol=1e-12)
    # pairwise accuracy without ties in either is Kendall's tau, moved to 0..1
    order = np.argsort(np.random.default_rng(0).random(scores.shape), axis=1).astype(float)
    want = [(stats.kendalltau(scores[i], order[i]).statistic + 1) / 2 for i in rows]
    np.testing.assert_allclose(m.pairwise_accuracy(scores, order), want, atol=1e-12)


@pytest.mark.parametrize("name", QUERY_METRICS)
def test_unjudged_items_are_as_good_as_absent(name, random_case):
    scores, gains = random_case
    scores = np.round(scores * 5)
    f = QUERY_METRICS[name]
    holes = gains.copy()
    holes[:, 20:] = np.nan
    np.testing.assert_allclose(f(scores, holes), f(scores[:, :20], gains[:, :20]), atol=1e-12)
    scores[:, 20:] = np.nan  # an unjudged item needs no score
    np.testing.assert_allclose(f(scores, holes), f(scores[:, :20], gains[:, :20]), atol=1e-12)


@pytest.mark.parametrize("name", QUERY_METRICS)
def test_order_of_storage_and_monotone_maps_change_nothing(name, random_case):
    scores, gains = random_case
    scores = np.round(scores * 5)
    f, before = QUERY_METRICS[name], QUERY_METRICS[name](scores, gains)
    shuffle = np.random.default_rng(1).permutation(scores.shape[1])
    np.testing.assert_allclose(f(scores[:, shuffle], gains[:, shuffle]), before, atol=1e-12)
    np.testing.assert_allclose(f(np.exp(scores) - 3, gains), before, atol=1e-12)
    np.testing.assert_allclose(f(m.rank_queries(scores, gains)), before, atol=0)


@pytest.mark.parametrize("name", QUERY_METRICS)
def test_a_constant_scorer_gets_the_mean_of_coins(name):
    gains = np.array([3, 1, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0], dtype=float)
    f, n = QUERY_METRICS[name], 20_000
    constant = f(np.full((1, 12), 0.7), gains[None], **({"k": 4} if "k" in _names(f) else {}))
    coins = f(np.random.default_rng(2).random((n, 12)), np.tile(gains, (n, 1)),
              **({"k": 4} if "k" in _names(f) else {}))
    assert constant[0] == pytest.approx(coins.mean(), abs=4 * coins.std() / n**0.5)


def _names(f):
    return f.__code__.co_varnames[: f.__code__.co_argcount]


def test_chance_for_constants_is_exact():
    gains = np.array([[1, 0, 0, 1, 0, np.nan]])
    zero = np.zeros_like(gains)
    assert m.auc(zero, gains)[0] == 0.5
    assert m.pairwise_accuracy(zero, gains)[0] == 0.5
    assert m.spearman_rows(zero, gains)[0] == 0.0
    assert m.recall_at_k(zero, gains, k=2)[0] == pytest.approx(2 / 5)
    assert m.precision_at_k(zero, gains, k=2)[0] == pytest.approx(2 / 5)
    # first of 2 hits among 5: places 1..4 with chances 4/10, 3/10, 2/10, 1/10
    assert m.reciprocal_rank(zero, gains)[0] == pytest.approx(0.4 + 0.15 + 0.2 / 3 + 0.025)
    assert m.ndcg_at_k(zero, [[4, 3, 2, 1, 0, np.nan]], k=5)[0] == pytest.approx(0.805, abs=5e-4)


def test_nothing_relevant_is_nan_and_nothing_judged_too():
    scores = np.array([[1.0, 2.0], [1.0, 2.0]])
    gains = np.array([[0.0, 0.0], [np.nan, np.nan]])
    for f in QUERY_METRICS.values():
        assert np.isnan(f(scores, gains)).all()
    for f in QUERY_METRICS.values():  # no items, no queries
        assert f(np.empty((2, 0)), np.empty((2, 0))).shape == (2,)
        assert f(np.empty((0, 3)), np.empty((0, 3))).shape == (0,)
    assert np.isnan(m.pooled_auc(scores, gains))


def test_infinite_scores_are_ordinary_scores():
    assert m.auc([[np.inf, 0.0, -np.inf]], [[1, 0, 0]])[0] == 1.0
    assert m.auc([[-np.inf, -np.inf, 0.0]], [[1, 0, np.nan]])[0] == 0.5


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: m.ndcg_at_k([[1.0]], [[1.0, 2.0]]), "must be (n_queries, n_items)"),
        (lambda: m.auc([[1.0]]), "gains must be given"),
        (lambda: m.auc([[np.nan, 1.0]], [[1.0, 0.0]]), "must not be NaN"),
        (lambda: m.ndcg_at_k([[1.0]], [[1.0]], k=0), "k must be >= 1, got 0"),
        (lambda: m.recall_at_k([[1.0]], [[1.0]], k=-1), "k must be >= 1, got -1"),
        (lambda: m.ndcg_at_k([[1.0]], [[-2.0]]), "got -2.0"),
        (lambda: m.bootstrap_interval([1.0], n_boot=0), "n_boot must be >= 1, got 0"),
        (lambda: m.tune_threshold([1.0, 2.0], [1.0]), "must agree, got 2 and 1"),
        (lambda: m.tune_threshold([np.nan], [1.0]), "a score that is not NaN"),
        (lambda: m.weighted_f1([1.0, 2.0], [1, 0], 0.5, clusters=["a"]), "as many clusters"),
        (lambda: m.holm([0.2, -0.1]), "between 0 and 1, got -0.1"),
        (lambda: m.benjamini_hochberg([1.5]), "between 0 and 1"),
        (lambda: m.bootstrap_interval([1.0, 2.0], level=1.0), "level must be between"),
        (lambda: m.paired_difference([1.0], [1.0, 2.0]), "one length"),
        (lambda: m.minimum_detectable_effect([1.0, 2.0], power=1.5), "power must be"),
    ],
)
def test_bad_input_is_a_sentence(call, sentence):
    with pytest.raises(ValueError) as e:
        call()
    assert sentence in str(e.value)


def test_interval_is_deterministic_and_widens_with_clusters():
    rng = np.random.default_rng(3)
    jobs = np.repeat(np.arange(30), 8)
    x = rng.normal(size=30)[jobs] + rng.normal(size=240)
    alone, together = m.bootstrap_interval(x), m.bootstrap_interval(x, jobs)
    assert m.bootstrap_interval(x, jobs) == together
    assert alone.mean == together.mean == pytest.approx(x.mean())
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    # the normal interval from the clustered standard error is close to the bootstrap's
    half = 1.96 * m.standard_error(x, jobs)
    assert (together.high - together.low) / 2 == pytest.approx(half, rel=0.15)
    named = np.array([f"job {j}" for j in jobs])  # any labels, in any order
    assert m.bootstrap_interval(x, named).n == 240


def test_columns_are_resampled_together():
    x = np.random.default_rng(4).normal(size=50)
    means = m.bootstrap_means(np.stack([x, x + 1, np.where(x > 9, x, np.nan)], axis=1), n_boot=64)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 1)
    assert np.isnan(means[:, 2]).all()
    assert m.bootstrap_interval([]).n == 0
    assert np.isnan(m.bootstrap_interval([]).mean)


def test_paired_difference_sees_what_two_intervals_hide():
    rng = np.random.default_rng(5)
    base = rng.normal(size=60)
    better = base + 0.1 + rng.normal(0, 0.1, 60)
    found = m.paired_difference(better, base)
    assert found.low > 0 and found.p < 0.001
    reverse = m.paired_difference(base, better)
    assert reverse.difference == pytest.approx(-found.difference)
    assert reverse.p == found.p
    holes = better.copy()
    holes[:10] = np.nan
    assert m.paired_difference(holes, base).n == 50


def test_p_value_is_bounded_by_the_number_of_clusters():
    gain = m.paired_difference(np.ones(300), np.zeros(300), np.repeat(range(3), 100))
    assert gain.p == 2 / 8  # three jobs cannot show more, however many rows they have
    assert np.isnan(m.paired_difference([1.0], [0.0]).p)
    assert m.paired_difference([1.0, 2.0], [1.0, 2.0]).p == 1.0


def test_standard_error_is_the_textbooks():
    x = np.array([1.0, 2.0, 4.0, 9.0])
    assert m.standard_error(x) == pytest.approx(x.std(ddof=1) / 2)
    assert m.standard_error(np.repeat(x, 3), np.repeat(range(4), 3)) == pytest.approx(
        m.standard_error(x))
    assert np.isnan(m.standard_error(x, [1, 1, 1, 1]))


def test_minimum_detectable_effect_is_found_as_often_as_promised():
    rng = np.random.default_rng(6)
    effect = m.minimum_detectable_effect(rng.normal(size=5000)[:100])
    found = [m.bootstrap_interval(rng.normal(effect, 1, 100), n_boot=200).low > 0
             for _ in range(200)]
    assert 0.68 < np.mean(found) < 0.92


def test_many_queries_in_seconds():
    rng = np.random.default_rng(7)
    scores = rng.random((20_000, 100), dtype=np.float32)
    gains = (rng.random((20_000, 100)) < 0.05).astype(float)
    began = time.perf_counter()
    ranked = m.rank_queries(scores, gains)
    for f in (m.ndcg_at_k, m.average_precision, m.reciprocal_rank, m.recall_at_k, m.auc):
        assert len(f(ranked)) == 20_000
    assert time.perf_counter() - began < 20  # about 1 s on a free core


def test_import_needs_numpy_only():
    code = ("import sys, resume_contrastive.metrics; "
            "print({'torch', 'pandas', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules))")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


# ------------------------------------------------------------------ threshold


def test_weighted_f1_is_sklearns_at_every_threshold():
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(12)
    for _ in range(30):
        n = int(rng.integers(2, 30))
        scores, labels = rng.integers(0, 8, n) / 7, rng.integers(0, 2, n)
        for t in (-np.inf, 0, 0.5, np.inf):
            want = sk.f1_score(labels, scores > t, average="weighted", zero_division=0)
            assert m.weighted_f1(scores, labels, t, n_boot=1).mean == pytest.approx(want)
        best = max(sk.f1_score(labels, scores > t, average="weighted", zero_division=0)
                   for t in (-np.inf, *np.unique(scores)))
        tuned = m.tune_threshold(scores, labels)
        assert m.weighted_f1(scores, labels, tuned, n_boot=1).mean == pytest.approx(best)


def test_threshold_separates_neighbouring_floats_and_skips_unjudged_pairs():
    low = 0.3
    high = np.nextafter(low, 1)
    t = m.tune_threshold([low, high], [0, 1])
    assert low <= t < high
    scores, labels = np.array([[0.9, 0.1, np.nan]]), np.array([[1, 0, np.nan]])
    assert m.tune_threshold(scores, labels) == pytest.approx(0.5)
    found = m.weighted_f1(scores, labels, 0.5)
    assert found.mean == 1 and found.n == 2


def test_f1_interval_is_the_bootstrap_of_whole_clusters():
    rng = np.random.default_rng(13)
    jobs = np.repeat(np.arange(12), 10)
    labels = (rng.random(120) < 0.4).astype(float)
    scores = labels + rng.normal(0, 0.5, 120) + rng.normal(0, 0.5, 12)[jobs]
    got = m.weighted_f1(scores, labels, 0.5, jobs, n_boot=1000)
    draws = []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(jobs == j) for j in rng.integers(0, 12, 12)])
        draws.append(m.weighted_f1(scores[rows], labels[rows], 0.5, n_boot=1).mean)
    np.testing.assert_allclose(got[1:3], np.quantile(draws, [0.025, 0.975]), atol=0.02)


# ------------------------------------------------------------------ many comparisons


def test_corrections_equal_scipy_and_the_definition():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(14)
    for n in (1, 2, 9, 40):
        p = rng.random(n) ** 3
        p[: n // 3] = p[0]  # ties
        np.testing.assert_allclose(m.benjamini_hochberg(p), stats.false_discovery_control(p))
        order = np.argsort(p, kind="stable")
        want, running = np.empty(n), 0.0
        for step, i in enumerate(order):
            running = max(running, min(1.0, p[i] * (n - step)))
            want[i] = running
        np.testing.assert_allclose(m.holm(p), want)
        assert (m.holm(p) >= m.benjamini_hochberg(p) - 1e-15).all()
    holes = m.holm([0.01, np.nan, 0.04])
    np.testing.assert_allclose(holes, [0.02, np.nan, 0.04])


def test_names_that_moved_to_intervals_are_still_here():
    from resume_contrastive import comparison, intervals

    for name in ("Interval", "Difference", "bootstrap_means", "bootstrap_interval", "holm",
                 "percentile_interval", "paired_difference", "standard_error",
                 "minimum_detectable_effect", "benjamini_hochberg"):
        assert getattr(m, name) is getattr(intervals, name)
    p = [0.01, 0.04, float("nan"), 0.03]
    np.testing.assert_allclose(comparison.holm(p), m.holm(p))
