"""The A/B and its decision rule on the installed package."""

import json

import numpy as np
import pytest

from resume_contrastive.blend import learn_blend
from resume_contrastive.comparison import (
    DecisionRule,
    compare,
    decide,
    differences,
    disagreements,
    distribution_table,
    holm,
    rank_correlation,
    write_page,
)
from resume_contrastive.documents import Document
from resume_contrastive.evaluation import Benchmark, evaluate
from resume_contrastive.metrics import ndcg_at_k

N_R, N_J, N_ROLES = 60, 30, 10
RNG = np.random.default_rng(0)
RESUMES = [Document(id=f"r{i}", kind="resume", title=f"role {i % N_ROLES}",
                    sections={"skills": f"secret{i}"}) for i in range(N_R)]
JOBS = [Document(id=f"j{j}", kind="job", title=f"role {j % N_ROLES}",
                 sections={"requirements": f"ask{j}"}) for j in range(N_J)]
SAME = np.array([[float(r.title == j.title) for j in JOBS] for r in RESUMES])
FIT = np.where(SAME == 1, RNG.random(SAME.shape), np.nan)


def system(role, fit, seed):
    noise = np.random.default_rng(seed).normal(size=SAME.shape)
    scores = role * SAME + fit * np.nan_to_num(FIT) + noise
    return lambda r, j: scores


@pytest.fixture(scope="module")
def report():
    systems = {"old": system(1, 1, 1), "good": system(4, 8, 2), "role": system(4, -3, 3),
               "twin": system(1, 1, 1)}
    return evaluate(systems, [
        Benchmark(name="titles", aspect="role", resumes=RESUMES, jobs=JOBS, gains=SAME),
        Benchmark(name="skills", aspect="fit", resumes=RESUMES, jobs=JOBS, gains=FIT)], n_boot=200)


def test_a_better_system_replaces(report):
    made = compare(report, "good", "old").decision
    assert made.option == "replace" and all(r.startswith("Better") for r in made.reasons)


def test_identical_systems_never_replace(report):
    rows = differences(report, "twin", "old")
    assert all(r["difference"] == 0 and r["verdict"] == "no gain" for r in rows)
    assert decide(rows).option == "keep-both"


def test_better_in_one_aspect_needs_a_blend_that_gains(report):
    rows = differences(report, "role", "old")
    assert {r["aspect"]: r["verdict"] for r in rows if r["headline"]} == {
        "role": "better", "fit": "worse"}
    assert decide(rows).option == "keep-both"
    assert compare(report, "role", "old", blend="good").decision.option == "blend"
    assert compare(report, "role", "old", blend="twin").decision.option == "keep-both"


def test_an_aspect_that_was_not_measured_blocks(report):
    rows = [r for r in differences(report, "good", "old") if r["aspect"] == "role"]
    made = decide(rows)
    assert made.option == "keep-both"
    assert "Not measured on enough queries: fit" in made.reasons


def test_few_queries_and_margins_block(report):
    for rule in (DecisionRule(min_queries=1000), DecisionRule(margin=0.9)):
        assert compare(report, "good", "old", rule).decision.option == "keep-both"


def test_differences_are_antisymmetric(report):
    ahead, back = (differences(report, *pair) for pair in (("good", "old"), ("old", "good")))
    for x, y in zip(ahead, back, strict=True):
        assert np.isclose(x["difference"], -y["difference"]) and x["n"] == y["n"]
        assert np.isclose(x["value_a"], y["value_b"])


def test_unknown_systems_are_named(report):
    with pytest.raises(ValueError, match="nobody"):
        compare(report, "nobody", "old")
    with pytest.raises(ValueError, match="nobody"):
        compare(report, "old", "nobody")


def test_rule_checks_itself_and_is_frozen():
    for bad in (dict(level=1.0), dict(margin=-0.1), dict(min_queries=1), dict(aspects=("x",))):
        with pytest.raises(ValueError, match=r"must be|no headline"):
            DecisionRule(**bad)
    with pytest.raises(AttributeError):
        DecisionRule().level = 0.9


def test_holm_against_statsmodels_definition():
    p = np.random.default_rng(0).random(12)
    order, running, want = np.argsort(p), 0.0, np.empty(12)
    for k, i in enumerate(order):
        running = max(running, min(1.0, p[i] * (12 - k)))
        want[i] = running
    np.testing.assert_allclose(holm(p), want)


def test_blend_uses_only_the_validation_scales():
    grades = np.nan_to_num(FIT) + SAME
    a, b = system(2, 2, 5)(0, 0), 40 + 10 * system(2, 2, 6)(0, 0)
    groups = [j.id for j in JOBS[:15]]
    blend = learn_blend(a[:, :15], b[:, :15], grades[:, :15], groups)
    assert 0 < blend.weight < 1 and len(blend.fold_weights) == 5
    mixed = blend(a, b)
    np.testing.assert_allclose(blend(a[:3, 20:22], b[:3, 20:22]), mixed[:3, 20:22])
    again = learn_blend(a[:, :15], b[:, :15], grades[:, :15], groups)
    assert again == blend
    shuffled = learn_blend(a[:, :15] * 7 - 3, b[:, :15], grades[:, :15], groups)
    assert shuffled.weight == blend.weight  # the scale of a score doesn't matter


def test_blend_gain_is_held_out():
    "On scores that know nothing, the held-out gain must not look real, whatever the grid finds."
    lucky = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, b, g = rng.normal(size=(3, 30, 20))
        gain = learn_blend(a, b, np.exp(g), [f"j{j}" for j in range(20)]).gain
        lucky += gain.low > 0
    assert lucky <= 3


@pytest.mark.parametrize("change", [dict(groups=["a"] * 30), dict(groups=["a"]),
                                    dict(grid=(0, 2)), dict(old=np.zeros((2, 2)))])
def test_blend_refuses(change):
    a = system(1, 1, 1)(0, 0)
    given = dict(learned=a, old=a, gains=SAME, groups=[j.id for j in JOBS]) | change
    with pytest.raises(ValueError, match=r"needs 2 groups|shapes must agree|0\.\.1"):
        learn_blend(**given)


def test_blend_takes_any_metric():
    a, b = system(2, 0, 8)(0, 0), system(0, 0, 9)(0, 0)
    blend = learn_blend(a, b, SAME, [j.id for j in JOBS],
                        metric=lambda s, g: ndcg_at_k(s, g, k=3))
    assert blend.weight > 0.7


def test_distributions_and_the_given_mean():
    rows = distribution_table({"x": np.arange(101.0)})
    assert rows[0]["n"] == 101 and rows[0]["median"] == 50 and rows[0]["above"] == 50 / 101
    assert rows[1] == {"system": "historical mean (given)", "mean": 52.4, "threshold": 50.0}
    for bad in ([], [np.inf]):
        with pytest.raises(ValueError, match="finite and not empty"):
            distribution_table({"x": np.array(bad)})


def test_rank_correlation_equals_scipy():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(3)
    a = rng.integers(0, 5, (20, 7)).astype(float)
    b = a + rng.normal(size=a.shape)
    got = rank_correlation(a, b)
    assert np.isclose(got["overall"], spearmanr(a.ravel(), b.ravel()).statistic)
    assert np.isclose(got["within_jobs"],
                      np.mean([spearmanr(a[:, j], b[:, j]).statistic for j in range(7)]))


def test_disagreements_hold_ids_and_numbers_only():
    a, b = system(1, 1, 1)(0, 0), system(1, 1, 2)(0, 0)
    rows = disagreements(a, b, RESUMES, JOBS, top=5, signals={"skill": SAME})
    sizes = [abs(r["change"]) for r in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert "secret" not in json.dumps(rows) and len(rows) == 5
    first = rows[0]
    j = int(first["job_id"][1:])
    place = (a[:, j] < first["new_score"]).mean() * N_R / (N_R - 1)
    assert np.isclose(first["new_place"], place)


def test_page_is_self_contained_escaped_and_matches_the_json(report, tmp_path):
    pool = {"role": 10 * system(4, -3, 3)(0, 0), "old": 10 * system(1, 1, 1)(0, 0)}
    c = compare(report, "role", "old", scores=pool, resumes=RESUMES, jobs=JOBS)
    c.notes["titles"] = "<script>alert(1)</script>"
    page = write_page(c, tmp_path / "ab.html", scores=pool)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "&lt;script&gt;" in text and "secret" not in text
    assert "src=" not in text and "@import" not in text and "<link" not in text
    kept = json.loads((tmp_path / "ab.json").read_text(encoding="utf-8"))
    assert kept["decision"]["option"] == "keep-both"
    assert len(kept["differences"]) == len(c.differences)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ab.html", "ab.json"]
    with pytest.raises(ValueError, match=r"must end in \.html"):
        write_page(c, tmp_path / "ab.txt")
