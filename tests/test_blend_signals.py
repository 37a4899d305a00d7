"""Non-negative blends of two scores and of many signals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resume_contrastive.blend import (
    Task,
    learn_blend,
    learn_signals,
    nonnegative_weights,
    signal_pairs,
)
from resume_contrastive.metrics import ndcg_at_k, pairwise_accuracy

N_R, N_J = 30, 20
GROUPS = [f"j{j // 2}" for j in range(N_J)]
EASY = settings(max_examples=20, deadline=None)


def task(seed, k=3, aspect="role", **metric):
    rng = np.random.default_rng(seed)
    gains = rng.integers(0, 3, (N_R, N_J)).astype(float)
    signals = {f"s{i}": gains * rng.uniform(-1, 1) + rng.normal(size=gains.shape) for i in range(k)}
    return Task(aspect=aspect, signals=signals, old=signals["s0"], gains=gains, groups=GROUPS,
                **metric)


@EASY
@given(st.integers(0, 10**6))
def test_weights_are_never_negative_and_sum_to_one(seed):
    found = learn_signals([task(seed)])
    for weights in (found.weights, *found.fold_weights):
        assert min(weights.values()) >= 0
        assert np.isclose(sum(weights.values()), 1) or set(weights.values()) == {0.0}


@EASY
@given(st.integers(0, 10**6), st.floats(0.1, 50), st.floats(-100, 100))
def test_the_scale_of_a_signal_does_not_matter(seed, scale, shift):
    t = task(seed)
    moved = Task(aspect="role", old=t.old, gains=t.gains, groups=GROUPS,
                 signals={**t.signals, "s1": scale * t.signals["s1"] + shift})
    one, other = learn_signals([t]).weights, learn_signals([moved]).weights
    np.testing.assert_allclose(list(one.values()), list(other.values()), atol=2e-4)


@EASY
@given(st.integers(0, 10**6))
def test_the_solution_is_optimal_at_the_boundary(seed):
    """Karush, Kuhn and Tucker: no slope where a weight is positive, none downhill where it is 0."""
    rng = np.random.default_rng(seed)
    d = rng.normal(rng.uniform(-0.5, 0.5, 4), 1, size=(200, 4))
    w = nonnegative_weights(d, l2=0.01)
    slope = -(d / (1 + np.exp(d @ w))[:, None]).mean(0) + 0.01 * w
    assert (np.abs(slope[w > 1e-6]) < 1e-4).all() and (slope[w <= 1e-6] > -1e-4).all()


def test_held_out_gains_are_not_real_where_nothing_is_known():
    lucky = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        signals = {f"s{i}": rng.normal(size=(N_R, N_J)) for i in range(6)}
        gains = rng.integers(0, 2, (N_R, N_J)).astype(float)
        blind = Task(aspect="fit", signals=signals, old=signals["s0"], gains=gains, groups=GROUPS,
                     metric=pairwise_accuracy)
        lucky += learn_signals([blind], seed=seed).gains["fit"].low > 0
    assert lucky <= 3


def test_a_fold_never_sees_its_own_jobs():
    t = task(3)
    fold = t.fold(5, 0)
    assert all(len(set(fold[np.asarray(GROUPS) == g])) == 1 for g in GROUPS)
    flipped = t.gains.copy()
    flipped[:, fold == 0] = 2 - flipped[:, fold == 0]
    other = Task(aspect="role", signals=t.signals, old=t.old, gains=flipped, groups=GROUPS)
    one, two = (learn_signals([x]).fold_weights for x in (t, other))
    assert one[0] == pytest.approx(two[0], abs=1e-6) and one[1] != pytest.approx(two[1], abs=1e-3)


def test_each_aspect_has_the_same_say_whatever_its_size():
    rng = np.random.default_rng(0)
    gains = rng.integers(0, 2, (N_R, 60)).astype(float)
    a, b = rng.normal(size=(2, N_R, 60))

    def one(n, aspect, truth):
        return Task(aspect=aspect, signals={"a": a[:, :n] + truth * gains[:, :n],
                                            "b": b[:, :n] + (1 - truth) * gains[:, :n]},
                    old=b[:, :n], gains=gains[:, :n], groups=[f"j{j}" for j in range(n)])

    few = learn_signals([one(60, "role", 1), one(12, "fit", 0)]).weights
    assert 0.3 < few["a"] < 0.7


def test_pairs_are_differences_of_unequal_grades_and_weigh_one_per_query():
    t = task(1, k=2)
    scales = {"s0": (0.0, 1.0), "s1": (0.0, 1.0)}
    d, weight, query = signal_pairs(t, ["s0", "s1"], scales, most=10**6)
    np.testing.assert_allclose(np.bincount(query, weight), 1)
    g = t.gains[:, 0]
    assert (query == 0).sum() == (g[:, None] > g[None]).sum()
    up, down = np.nonzero(g[:, None] > g[None])
    x = t.signals["s0"][:, 0]
    np.testing.assert_allclose(d[query == 0][:, 0], x[up] - x[down])
    assert (np.bincount(signal_pairs(t, ["s0"], scales, most=7)[2]) == 7).all()


def test_learn_blend_with_another_aspect_trades_between_the_two():
    rng = np.random.default_rng(1)
    role, fit = rng.integers(0, 2, (2, N_R, N_J)).astype(float)
    new, old = role + 0.5 * rng.normal(size=role.shape), fit + 0.5 * rng.normal(size=role.shape)
    other = Task(aspect="fit", signals={"learned": new, "old": old}, old=old, gains=fit,
                 groups=GROUPS, metric=pairwise_accuracy)
    alone = learn_blend(new, old, role, GROUPS)
    both = learn_blend(new, old, role, GROUPS, also=[other])
    assert alone.weight > both.weight > 0 and both.also[0][0] == "fit"
    assert both.also[0][1].difference > -0.2
    assert learn_blend(new, old, role, GROUPS, also=[]) == alone


def test_bad_input_is_named():
    t = task(0)
    with pytest.raises(ValueError, match="shapes must agree"):
        Task(aspect="x", signals={"a": np.zeros((2, 2))}, old=np.zeros((2, 3)),
             gains=np.zeros((2, 2)), groups=["a", "b"])
    with pytest.raises(ValueError, match="the same signals"):
        learn_signals([t, task(0, k=2)])
    with pytest.raises(ValueError, match="needs 2 groups"):
        learn_signals([Task(aspect="x", signals=t.signals, old=t.old, gains=t.gains,
                            groups=["a"] * N_J, metric=ndcg_at_k)])
    with pytest.raises(ValueError, match="signals lack s2"):
        learn_signals([t])({"s0": t.old, "s1": t.old})
