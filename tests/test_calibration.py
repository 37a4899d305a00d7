"""Calibration: the order stays, the better curve on held-out groups is taken, words are counts."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from resume_contrastive.calibration import (
    Calibration,
    choose_calibration,
    describe,
    fit_calibration,
    isotonic_knots,
    scores_of,
)

NUMBERS = st.floats(-2, 2, allow_nan=False)


@given(NUMBERS, NUMBERS, st.floats(0, 200), st.floats(-50, 50))
def test_calibration_keeps_order_and_range(a, b, slope, intercept):
    c = Calibration(slope=slope, intercept=intercept)
    low, high = sorted((a, b))
    assert 0 <= c(low) <= c(high) <= 100


def test_calibration_by_hand():
    assert Calibration(slope=2, intercept=-1)(0.5) == 50
    assert Calibration(slope=1)(np.log(3)) == pytest.approx(75)
    assert [Calibration()(s) for s in (-0.5, 0.25, 2)] == [0, 25, 100]


def test_calibration_weighs_both_groups_the_same():
    few, many = [0.6, 0.7], [0.3, 0.4] * 500
    c = fit_calibration(few, many)
    assert c.n == 1002 and c(0.5) == pytest.approx(50, abs=3) and c.slope > 0




# ---------------------------------------------------------------- isotonic


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(30, 400))
def test_isotonic_scores_rise_strictly_for_any_data(seed, n):
    rng = np.random.default_rng(seed)
    x = rng.normal(0.4, 0.2, n).round(rng.integers(1, 6))
    y = rng.uniform(size=n) < 1 / (1 + np.exp(4 - 8 * x))
    if not 0 < y.sum() < n:
        return
    c = fit_calibration(x[y], x[~y], "isotonic")
    if not c.knots:  # the wrong way round
        return
    grid = np.linspace(-1, 1, 101)
    scores = scores_of(c, grid)
    assert (np.diff(scores) > 0).all() and 0 < scores[0] and scores[-1] < 100


def test_knots_are_the_centres_of_isotonic_regressions_steps():
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 1, 40)
    y = rng.uniform(size=40) < x
    edge = 0.5 / (1 + min(y.sum(), (~y).sum()))
    fitted = IsotonicRegression(y_min=edge, y_max=1 - edge).fit_transform(x, y.astype(float))
    want = [(x[np.isclose(fitted, v)].mean(), v) for v in np.unique(fitted.round(9))]
    assert np.allclose(isotonic_knots(x, y, np.ones(40)), want, atol=1e-6)


def test_a_calibration_survives_json():
    rng = np.random.default_rng(0)
    c = choose_calibration(rng.normal(size=300), rng.uniform(size=300) < 0.3,
                           np.arange(300) % 30)
    assert Calibration(**json.loads(json.dumps(asdict(c)))) == c
    old = Calibration(**{"slope": 2.0, "intercept": -1.0, "n": 9})  # a folder from before
    assert old(0.5) == 50 and "were not counted" in describe(old, 50)


def test_groups_decide_and_stay_together():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(50), 40)
    x = rng.normal(0.5, 0.15, 2000)
    flat = rng.uniform(size=2000) < np.where(x < 0.4, 0.02, 0.5)
    chosen = choose_calibration(x, flat, group)
    assert chosen.knots and dict((c[0], c[1]) for c in chosen.compared)["isotonic"] < 0.69
    straight = rng.uniform(size=2000) < 1 / (1 + np.exp(10 - 20 * x))
    assert not choose_calibration(x, straight, group).knots
    one = choose_calibration(x, straight, np.zeros(2000))  # one group: nothing to compare on
    assert one.slope > 0 and one.compared == ()


@pytest.mark.parametrize(("wrong", "message"), [
    ({"knots": [(0.1, 0.2), (0.1, 0.3)]}, "rise strictly"),
    ({"knots": [(0.1, 0.2), (0.2, 1.0)]}, "between 0 and 1"),
    ({"bins": [(1, 1)]}, "bins must be 20, got 1"),
])
def test_bad_settings(wrong, message):
    with pytest.raises(ValueError, match=message):
        Calibration(**wrong)
    with pytest.raises(ValueError, match="method must be"):
        fit_calibration([1], [0], "spline")
    with pytest.raises(ValueError, match="lengths must agree"):
        choose_calibration(np.zeros(3), np.zeros(2), [1, 2, 3])


def test_words_are_counts_of_validation_pairs():
    c = fit_calibration(np.linspace(0.5, 0.9, 100), np.linspace(0.1, 0.6, 300))
    assert sum(n for n, _ in c.bins) == 400 and sum(m for _, m in c.bins) == 100
    assert "of all validation pairs, 25.0%" in describe(c, 99)
    with pytest.raises(ValueError, match="score must be 0 to 100, got 101"):
        describe(c, 101)
