"""The plots of evaluation and decision, drawn on tiny data: labelled axes, the palette's colours,
the number of queries, marks that need no colour, and no two labels on one another."""

import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest

from resume_contrastive.benchmarks import Benchmark, random_scorer
from resume_contrastive.calibration import Calibration
from resume_contrastive.calibration import plot_reliability as plot_calibration
from resume_contrastive.comparison import Comparison, Decision, DecisionRule, plot_comparison
from resume_contrastive.documents import Document
from resume_contrastive.evaluation import evaluate, plot_benchmark
from resume_contrastive.page import plot_differences, plot_distributions, write_page
from resume_contrastive.pdfs import plot_scores, score_report
from resume_contrastive.plots import GREY, PALETTE, VERDICTS, unlabelled
from resume_contrastive.reliability import calibration_table, plot_reliability
from resume_contrastive.report import plot_results
from resume_contrastive.slices import length_bias, plot_bias

mpl = pytest.importorskip("matplotlib")
plt = pytest.importorskip("matplotlib.pyplot")
INK = {"#000000", "#ffffff", "#444a4c", "#555a5c"}  # text, paper, axes
ALLOWED = {k.colour for k in (*PALETTE, *VERDICTS.values())} | {GREY} | INK
RNG = np.random.default_rng(0)


def sides(n_resumes=12, n_jobs=6):
    return tuple([Document(id=f"{k}{i}", kind=k, title=f"role {i % 3}", category=f"c{i % 3}",
                           sections={s: f"word{i} word{i % 3} skill{i % 5}"}) for i in range(n)]
                 for k, n, s in (("resume", n_resumes, "experience"),
                                 ("job", n_jobs, "requirements")))


def report():
    resumes, jobs = sides()
    gains = np.array([[float(r.category == j.category) for j in jobs] for r in resumes])
    bench = Benchmark(name="roles", aspect="role", resumes=resumes, jobs=jobs, gains=gains)
    return evaluate({"knows": lambda r, j: gains, "coin": random_scorer(0)}, [bench], n_boot=50)


def differences(system, shift):
    cells = (("role pairs", "role", "resume->job", "nDCG@10"), ("own skills", "fit", "job->resume",
                                                                "pairwise accuracy"))
    return [dict(benchmark=b, aspect=a, direction=d, metric=m, a=system, b="five signals",
                 value_a=0.5, value_b=0.4, difference=x + shift, low=x + shift - 0.05, p=0.01,
                 high=x + shift + 0.05, p_holm=0.02, detectable=0.04, n=50, clusters=40,
                 headline=True, verdict=v)
            for (b, a, d, m), x, v in zip(cells, (0.1, -0.1), ("better", "worse"), strict=True)]


def comparison():
    return Comparison(a="learned", b="five signals", rule=DecisionRule(),
                      decision=Decision(option="blend", reasons=("because",)),
                      differences=differences("learned", 0),
                      blend_differences=differences("blend", 0.02))


def curves():
    scores = {k: RNG.uniform(0, 100, 400) for k in ("learned", "five signals")}
    truth = RNG.random(400) < 0.3
    return scores, *calibration_table(scores, scores, (truth, truth), np.arange(400) // 10)


def scored():
    resumes, jobs = sides()
    return score_report({"a": lambda r, j: RNG.uniform(0, 60, (len(r), len(j))),
                         "b": lambda r, j: RNG.uniform(20, 99, (len(r), len(j)))},
                        resumes, jobs, n_boot=50).to_dict("records")


def biased():
    resumes, jobs = sides()
    return length_bias({"coin": random_scorer(0), "length": lambda r, j: np.tile(
        [[float(len(d.text))] for d in r], (1, len(j)))}, resumes, jobs,
        steps=(5, 10), n_boot=50).to_dict("records")


DRAWN = {
    "benchmark": lambda ax=None: plot_benchmark(report(), "roles", "nDCG@10", ax=ax),
    "comparison": lambda ax=None: plot_comparison(comparison(), ax=ax),
    "differences": lambda ax=None: plot_differences(
        comparison().differences, comparison().blend_differences, ax=ax),
    "distributions": lambda ax=None: plot_distributions(curves()[0], ax=ax),
    "scores": lambda ax=None: plot_scores(scored(), ax=ax),
    "calibration": lambda ax=None: plot_calibration(
        Calibration(slope=1.0, bins=tuple((40, 2 * i) for i in range(20))), ax=ax),
    "reliability": lambda ax=None: plot_reliability(curves()[2], ax=ax),
    "bias": lambda ax=None: plot_bias(biased(), ax=ax),
}
each = pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def colours(ax):
    """Everything that is drawn in a plot, as '#rrggbb'."""
    shown = []
    for k in ax.lines:
        shown += [k.get_color(), k.get_markerfacecolor(), k.get_markeredgecolor()]
    for k in ax.patches:
        shown += [k.get_facecolor(), k.get_edgecolor()]
    for k in ax.collections:
        shown += [*k.get_facecolor(), *k.get_edgecolor()]
    shown += [t.get_color() for t in (*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label)]
    shown += [s.get_edgecolor() for s in ax.spines.values() if s.get_visible()]
    rgba = [mpl.colors.to_rgba(c) for c in shown if not (isinstance(c, str) and c == "none")]
    return {mpl.colors.to_hex(c) for c in rgba if c[3] > 0}


def boxes(figure):
    """The words of a figure, and where they stand."""
    figure.canvas.draw()
    renderer, found = figure.canvas.get_renderer(), []
    for ax in figure.axes:
        legend = ax.get_legend()
        texts = [*ax.texts, ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label,
                 *ax.get_xticklabels(), *ax.get_yticklabels(),
                 *(legend.get_texts() if legend else ())]
        found += [(t.get_text(), t.get_window_extent(renderer)) for t in texts
                  if t.get_visible() and t.get_text().strip()]
    return found


@each
def test_a_plot_has_labelled_axes_and_says_how_many(draw):
    figure = draw().figure
    assert unlabelled(figure) == []
    words = " ".join(t for t, _ in boxes(figure))
    assert re.search(r"n = \d|\d validation pairs", words), words


@each
def test_a_plot_uses_the_colours_of_the_set(draw):
    assert colours(draw()) <= ALLOWED


@each
def test_no_two_labels_lie_on_one_another(draw):
    for (a, x), (b, y) in itertools.combinations(boxes(draw().figure), 2):
        wide = min(x.x1, y.x1) - max(x.x0, y.x0)
        tall = min(x.y1, y.y1) - max(x.y0, y.y0)
        assert wide < 1 or tall < 2, f"{a!r} on {b!r}"


@each
def test_a_plot_draws_where_it_is_told_and_leaves_the_settings(draw):
    before = dict(mpl.rcParams)
    _, ax = plt.subplots()
    assert draw(ax) is ax
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", ["distributions", "scores", "reliability", "differences"])
def test_series_differ_without_colour(name):
    ax = DRAWN[name]()
    legend, signs = ax.get_legend(), []
    for h in legend.legend_handles:
        line = getattr(h, "get_linestyle", lambda: "")()
        signs.append((getattr(h, "get_marker", lambda: "")(), str(line)))
    assert len(signs) >= 2 and len(set(signs)) == len(signs), signs


def test_marks_lie_at_the_values_and_a_row_without_interval_is_hollow():
    rows = [dict(benchmark="x", aspect="fit", direction="job->resume", metric="AUC", system=s,
                 value=v, low=low, high=high, n=7, chance=0.5, best=best)
            for s, v, low, high, best in (("a", 0.8, 0.7, 0.9, True),
                                          ("b", 0.6, *[np.nan] * 2, False),
                                          ("nothing", *[np.nan] * 3, False),
                                          ("none", *[None] * 3, False))]
    ax = plot_benchmark(SimpleNamespace(rows=rows), "x", "AUC")
    marks = [k for k in ax.lines if len(k.get_xdata()) == 1]
    assert [float(k.get_xdata()[0]) for k in marks] == [0.6, 0.8]
    assert [k.get_markerfacecolor() for k in marks] == ["white", PALETTE[0].colour]
    assert [k.get_marker() for k in marks] == ["o", "D"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["b", "a"]
    with pytest.raises(ValueError, match="the report has no AUC on x"):
        plot_benchmark(SimpleNamespace(rows=rows[2:]), "x", "AUC")


def test_the_picture_of_a_run_is_written_and_needs_a_value(tmp_path):
    assert plot_results(report(), tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="no headline value"):
        plot_results(SimpleNamespace(rows=[]), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_the_interval_of_a_calibration_bin_holds_its_point():
    ax = DRAWN["calibration"]()
    points = next(k for k in ax.lines if k.get_marker() == "o").get_ydata()
    ends = ax.collections[0].get_segments()
    assert len(points) == len(ends) == 20
    assert all(low[1] - 1e-9 <= p <= high[1] + 1e-9
               for p, (low, high) in zip(points, ends, strict=True))
    assert plot_calibration(Calibration()).get_xlabel()  # nothing counted: an empty plot


def test_a_bias_of_another_name_is_refused():
    with pytest.raises(ValueError, match="metric must be one of slope, overtaken, got 'words'"):
        plot_bias([], "words")
    with pytest.raises(ValueError, match="no rows"):
        plot_bias([])


def test_more_systems_than_looks_are_refused():
    with pytest.raises(ValueError, match="several small plots"):
        plot_distributions({str(i): np.arange(5.0) for i in range(6)})


def test_the_page_holds_the_same_plots(tmp_path):
    scores, rows, bins = curves()
    c = comparison()
    c.calibration = {"role": {"rows": rows, "curves": bins}}
    page = write_page(c, tmp_path / "page.html", scores).read_text(encoding="utf-8")
    for svg in re.findall(r"<svg.*?</svg>", page, re.S):
        drawn = set(re.findall(r"(?:stroke|fill): (#[0-9a-f]{6})", svg))
        assert drawn <= ALLOWED, drawn - ALLOWED
    bar = re.search(r"\.bar i\{[^}]*background:(#\w+)", page)[1]
    assert bar in {k.colour for k in PALETTE}
