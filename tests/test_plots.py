"""What the chapters draw belongs to one set: labelled, in the palette, readable in grey."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot")

from matplotlib.colors import to_hex  # noqa: E402

from resume_contrastive.documents import Document  # noqa: E402
from resume_contrastive.five_signals import WEIGHTS, plot_signals  # noqa: E402
from resume_contrastive.mining import MiningConfig, mine, plot_scores  # noqa: E402
from resume_contrastive.monitor import plot_history  # noqa: E402
from resume_contrastive.pairs import plot_affinity  # noqa: E402
from resume_contrastive.plots import (  # noqa: E402
    CUT,
    GREY,
    PALETTE,
    SIDES,
    VERDICTS,
    dot_interval,
    dot_series,
    interval_bars,
    lightness,
    stacked_bars,
    style,
    unlabelled,
)
from resume_contrastive.splits import plot_splits  # noqa: E402

NEUTRAL = {"#000000", "#ffffff", "#444a4c", "#555a5c"}  # text, frames, what lies under a mark
SET = NEUTRAL | {GREY} | {k.colour for k in (*PALETTE, *VERDICTS.values())}


@pytest.fixture(autouse=True)
def _closed():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def affinity(ax=None):
    matrix = np.array([[1, 0.17, np.nan], [0.17, 1, 0.7], [np.nan, 0.7, 1]])
    return plot_affinity((["ACCOUNTANT", "BUSINESS-DEVELOPMENT", "HR"], matrix), ax=ax)


def splits(ax=None):
    ids = [f"r{i}" for i in range(20)]
    made = [Document(id=i, kind="resume", title="", category=c, sections={"other": "x"})
            for i, c in zip(ids, itertools.cycle(("CHEF", "NURSE")))]
    cut = itertools.chain(["train"] * 16, ["validation"] * 2, ["test"] * 2)
    return plot_splits(SimpleNamespace(resumes=dict(zip(ids, cut, strict=True))), made, ax=ax)


def signals(ax=None):
    made = {name: np.full((3, 4), 0.5 + n / 10) for n, name in enumerate(WEIGHTS)}
    return plot_signals(made, ax=ax)


def scores(ax=None):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(40, 8))
    mined = mine(a, a + 0.3 * rng.normal(size=a.shape), [(i, i) for i in range(40)],
                 config=MiningConfig(similarity="cosine"))
    return plot_scores(mined, ax=ax)


def history(ax=None):
    rows = [{"epoch": e, "fit": 0.7 + e / 50, "role": (0.1, None, 0.2)[e]} for e in range(3)]
    return plot_history(rows, ["fit", "role"], ax=ax)


EXPORTED = (affinity, splits, signals, scores, history)
each = pytest.mark.parametrize("draw", EXPORTED, ids=lambda f: f.__name__)


def colours(ax) -> set[str]:
    """Every colour of the marks, lines, areas and texts of a plot, without its transparency."""
    found = [line.get_color() for line in ax.lines]
    found += [k.get_markerfacecolor() for k in ax.lines if k.get_marker() not in ("", "None")]
    found += [text.get_color() for text in ax.texts]
    for patch in ax.patches:
        found += [patch.get_facecolor()] if patch.get_fill() else []
        found += [patch.get_edgecolor()] if patch.get_linewidth() else []
    for collection in ax.collections:
        found += list(collection.get_facecolor())
    return {to_hex(c) for c in found}


def overlapping(ax) -> list[tuple[str, str]]:
    """Names of an axis that lie on each other."""
    ax.figure.canvas.draw()
    pairs = []
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        drawn = [(t.get_text(), t.get_window_extent()) for t in labels if t.get_text()]
        pairs += [(a, b) for (a, x), (b, y) in itertools.combinations(drawn, 2) if x.overlaps(y)]
    return pairs


@each
def test_an_exported_plot_belongs_to_the_set(draw):
    ax = draw()
    assert unlabelled(ax.figure) == []
    assert colours(ax) <= SET
    assert overlapping(ax) == []
    assert not ax.spines["top"].get_visible()


@each
def test_an_exported_plot_draws_where_it_is_told(draw):
    _, ax = plt.subplots()
    assert draw(ax) is ax
    assert len(plt.get_fignums()) == 1


@each
def test_a_plot_leaves_no_setting_behind(draw):
    before = dict(plt.rcParams)
    draw()
    assert dict(plt.rcParams) == before


def test_what_stands_side_by_side_differs_in_lightness():
    groups = (SIDES, CUT, {k: v for k, v in VERDICTS.items() if k in ("better", "worse")})
    for group in groups:
        light = sorted(lightness(k.colour) for k in group.values())
        assert min(b - a for a, b in itertools.pairwise(light)) >= 10, group


def test_the_shapes_of_the_toolbox_use_the_palette():
    rows = [dict(name=n, value=0.5, low=0.4, high=0.6) for n in ("one", "two")]
    with style():
        figure, axes = plt.subplots(1, 4, figsize=(12, 2), layout="constrained")
        dot_interval(axes[0], rows, chance=0.1, label="a share")
        interval_bars(axes[1], {"a": rows, "b": rows}, label="a share")
        stacked_bars(axes[2], {"one": {"a": 1, "b": 2}, "two": {"b": 1}}, label="pairs")
        dot_series(axes[3], {"a": rows, "b": rows}, label="a share")
    assert unlabelled(figure) == []
    assert set.union(*map(colours, axes)) <= SET


def test_the_numbers_drawn_are_those_given():
    ax = signals()
    given = [100 * w * (0.5 + n / 10) for n, w in enumerate(WEIGHTS.values())][::-1]
    drawn = [p.get_width() for p in ax.patches[len(WEIGHTS):]]
    np.testing.assert_allclose(drawn, given)
    ax = splits()
    widths = np.array([p.get_width() for p in ax.patches]).reshape(3, 2)
    np.testing.assert_allclose(widths, [[80, 80], [10, 10], [10, 10]])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["CHEF  (10)", "NURSE  (10)"]
    ax = scores()
    positives = ax.patches[1].get_data().values.sum()
    assert f"(n = {positives:.0f})" in ax.get_legend().get_texts()[1].get_text()


def test_more_curves_than_looks_are_refused():
    rows = [{"epoch": 0} | dict.fromkeys("abcdef", 0.5)]
    with pytest.raises(ValueError, match="6 series in one plot"):
        plot_history(rows, list("abcdef"))
