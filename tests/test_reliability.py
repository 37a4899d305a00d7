"""Reliability, Brier score and the two maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resume_contrastive.reliability import (
    balanced,
    brier_score,
    calibration_table,
    fit_isotonic,
    fit_platt,
    reliability,
)

EASY = settings(max_examples=25, deadline=None)


def world(seed, n=300):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    return rng.normal(size=n) + truth, truth, np.arange(n) // 6


def test_hand_worked():
    p, y = np.array([0.9, 0.2, 0.2, 0.6]), np.array([1, 0, 0, 0])
    want = 0.5 * 0.01 + (0.04 + 0.04 + 0.36) / 6
    assert np.isclose(brier_score(p, y).mean, want)
    error, rows = reliability(p, y, bins=2)
    assert [r["n"] for r in rows] == [2, 2]
    assert np.isclose(rows[0]["said"], 0.2) and rows[0]["found"] == 0
    assert np.isclose(rows[1]["found"], 0.5 / (0.5 + 1 / 6))
    assert np.isclose(error.mean, 2 / 6 * 0.2 + abs(0.5 - (0.45 + 0.1)))


@EASY
@given(st.integers(0, 10**6))
def test_against_scikit_learn(seed):
    from sklearn.metrics import brier_score_loss

    s, y, jobs = world(seed)
    p = 1 / (1 + np.exp(-s))
    assert np.isclose(brier_score(p, y, jobs).mean,
                      brier_score_loss(y, p, sample_weight=balanced(y)))


@EASY
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-50, 50))
def test_platt_follows_any_scale_and_never_turns_the_order(seed, scale, shift):
    s, y, _ = world(seed)
    f, g = fit_platt(s, y), fit_platt(scale * s + shift, y)
    np.testing.assert_allclose(f(s), g(scale * s + shift), atol=2e-3)
    assert fit_platt(-s, y).slope == 0 or fit_platt(-s, y).slope > 0
    assert np.isclose((balanced(y) * f(s)).sum(), 0.5, atol=1e-3)  # said on average what is found


@EASY
@given(st.integers(0, 10**6))
def test_isotonic_rises_and_is_perfect_on_its_own_pairs(seed):
    s, y, _ = world(seed)
    f = fit_isotonic(s, y)
    grid = np.linspace(s.min() - 1, s.max() + 1, 200)
    assert (np.diff(f(grid)) >= -1e-12).all() and 0 <= f(grid).min() <= f(grid).max() <= 1
    assert brier_score(f(s), y).mean <= brier_score(fit_platt(s, y)(s), y).mean + 1e-9


def test_intervals_are_wider_when_jobs_repeat_themselves():
    s, y, _ = world(1, 60)
    p = 1 / (1 + np.exp(-s))
    many = np.repeat(p, 10), np.repeat(y, 10), np.repeat(np.arange(60), 10)
    clustered, naive = brier_score(*many), brier_score(*many[:2])
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)
    assert np.isclose(clustered.mean, naive.mean) and (clustered.n, naive.n) == (60, 600)


def test_a_constant_and_an_oracle():
    _, y, jobs = world(2)
    assert np.isclose(brier_score(np.full(len(y), 0.5), y, jobs).mean, 0.25)
    assert reliability(y.astype(float), y, jobs)[0].mean == 0
    twin = brier_score(np.full(len(y), 0.5), y, jobs, other=np.full(len(y), 0.5))
    assert twin[:3] == (0, 0, 0)


def test_table_fits_on_validation_only():
    s, y, jobs = world(3, 600)
    half = slice(0, 300), slice(300, 600)
    score = np.clip(50 + 20 * s, 0, 100)
    args = ({"x": score[half[0]]}, {"x": score[half[1]]}, (y[half[0]], y[half[1]]), jobs[half[1]])
    rows, curves = calibration_table(*args)
    assert [r["map"] for r in rows] == ["as served", "Platt", "isotonic"]
    p = fit_platt(score[half[0]], y[half[0]])(score[half[1]])
    assert np.isclose(rows[1]["brier"], brier_score(p, y[half[1]]).mean)
    assert sum(r["n"] for r in curves["x"]) == 300


@pytest.mark.parametrize(("p", "y", "words"), [
    ([0.5, 0.5], [1, 1], "pairs of both kinds"), ([50.0, 20], [0, 1], "divide a score by 100"),
    ([0.5], [0, 1], "need as many truths"), ([np.nan, 0.5], [0, 1], r"must lie in 0\.\.1")])
def test_bad_input_is_named(p, y, words):
    with pytest.raises(ValueError, match=words):
        reliability(np.array(p), np.array(y))
