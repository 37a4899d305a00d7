"""The page: sentences made from numbers, evidence without text, one file that fetches nothing."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from resume_contrastive.ab import comparison_page
from resume_contrastive.comparison import Comparison, Decision, DecisionRule, pair_evidence
from resume_contrastive.documents import Document
from resume_contrastive.five_signals import FiveSignals
from resume_contrastive.page import captions, headline, plot_differences, write_page
from resume_contrastive.plots import PALETTE, lightness
from resume_contrastive.reliability import calibration_table

CELLS = (("role pairs", "role", "resume->job", "nDCG@10"),
         ("role pairs", "role", "job->resume", "nDCG@10"),
         ("own-skills", "fit", "job->resume", "pairwise accuracy"))


def rows(verdicts, system="learned", shift=0.0):
    """Headline rows made by hand."""
    size = {"better": 0.1, "worse": -0.1, "no gain": 0.0, "too few": 0.0}
    return [dict(benchmark=b, aspect=a, direction=d, metric=m, a=system, b="five signals",
                 value_a=0.5 + size[v], value_b=0.5, difference=size[v] + shift,
                 low=size[v] - 0.05, high=size[v] + 0.05, p=0.01, p_holm=0.03, detectable=0.04,
                 n=50, clusters=40, headline=True, verdict=v)
            for (b, a, d, m), v in zip(CELLS, verdicts, strict=True)]


def made(option="blend", new=("better", "better", "worse"), blend=("better", "no gain", "no gain")):
    return Comparison(a="learned", b="five signals", rule=DecisionRule(),
                      decision=Decision(option=option, reasons=("because",)),
                      differences=rows(new), blend_differences=rows(blend, "blend"))


def test_the_sentence_follows_the_verdicts():
    said = headline(made())
    assert said.startswith("Use a blend of the two scores: ")
    assert "the learned score is better in role (+0.100, +0.100 nDCG@10) and worse in fit" in said
    assert "the blend is better in role (+0.100 nDCG@10), no better in role" in said
    kept = headline(made("keep-both", ("too few",) * 3))
    assert kept.startswith("Keep the old score in charge") and "lack of queries" in kept
    assert "blend" not in headline(made("replace", ("better",) * 3))


@pytest.mark.parametrize("new", [("better",) * 3, ("worse", "better", "too few"), ("no gain",) * 3])
def test_the_caption_counts(new):
    said = captions(made(new=new))["differences"]
    assert f"leads in {new.count('better')} of 3 comparisons" in said
    assert f"trails in {new.count('worse')}; the blend leads in 1 of 3" in said


def test_the_plot_shows_a_marker_for_each_row_and_needs_no_colour():
    c = made()
    ax = plot_differences(c.differences, c.blend_differences)
    new, blend = (k.marker for k in PALETTE[:2])
    points = {m: [x for x in ax.lines if x.get_marker() == m] for m in (new, blend)}
    assert [x.get_xdata()[0] for x in points[new]] == [0.1, 0.1, -0.1]
    assert len(points[blend]) == 3 and {x.get_markerfacecolor() for x in points[blend]} == {"white"}
    assert lightness(PALETTE[1].colour) - lightness(PALETTE[0].colour) > 10
    assert sum("better" in t.get_text() for t in ax.texts) == 3


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    rng = np.random.default_rng(0)
    scores = {k: rng.uniform(0, 100, 400) for k in ("learned", "five signals")}
    truth = rng.random(400) < 0.2
    table, curves = calibration_table(scores, scores, (truth, truth), np.arange(400) // 10)
    c = made()
    c.calibration = {"role": {"rows": table, "curves": curves}}
    c.notes = {"role pairs": "<script>alert(1)</script>"}
    resume = Document(id="<i>r", kind="resume",
                      sections={"skills": "Python", "summary": "Zelda Q."})
    job = Document(id="j&1", kind="job", sections={"requirements": "Python and Java are required."})
    seen = pair_evidence(resume, job, lambda r, j: np.full((len(r), 1), 30.0),
                         FiveSignals(lambda r, j: np.ones((len(r), len(j)))))
    c.disagreements = [dict(resume_id="<i>r", job_id="j&1", change=-0.9, new_place=0.05,
                            old_place=0.95, new_score=30.0, old_score=60.0, evidence=seen)]
    out = write_page(c, tmp_path_factory.mktemp("page") / "ab.html", scores)
    return SimpleNamespace(text=out.read_text(encoding="utf-8"), path=out)


def test_the_page_is_one_file_and_escaped(page):
    text = page.text
    assert "<script" not in text and "&lt;i&gt;r" in text and "j&amp;1" in text
    assert not re.search(r"src=|@import|<link|url\(http", text)
    assert sorted(p.name for p in page.path.parent.iterdir()) == ["ab.html", "ab.json"]


def test_the_page_has_three_plots_with_captions_for_both_widths(page):
    assert page.text.count("<figure>") == page.text.count("<figcaption>") == 3
    assert page.text.count('class="wide" role="img" aria-label=') == 3
    assert page.text.count('class="narrow" role="img" aria-label=') == 3
    ids = re.findall(r' id="([^"]+)"', page.text)
    assert "@media(max-width:640px)" in page.text and len(ids) == len(set(ids))


def test_the_evidence_shows_skills_and_sections_and_no_words_of_the_resume(page):
    for part in ("Python: matched", "Java: missing", "keywords", "each section alone", "summary"):
        assert part in page.text
    kept = page.path.with_suffix(".json").read_text(encoding="utf-8")
    assert "Zelda" not in page.text and "Zelda" not in kept


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(ValueError, match="is no run folder"):
        comparison_page(tmp_path / "none", tmp_path / "x.html")
    with pytest.raises(ValueError, match="no finished stage 'evaluate'"):
        comparison_page(tmp_path, tmp_path / "x.html")
    with pytest.raises(ValueError, match=r"must end in \.html"):
        comparison_page(tmp_path, tmp_path / "x.pdf")
