"""Other people's formats: round trips, other tools' reading, and a place for every error."""

import csv
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resume_contrastive import exchange as X
from resume_contrastive import metrics as m
from resume_contrastive.benchmarks import FIT, TO_JOBS, TO_RESUMES, Benchmark, random_scorer
from resume_contrastive.documents import Document, ReadError
from resume_contrastive.evaluation import evaluate


def world(n=7, k=5):
    return ([Document(id=f"u{i}", kind="resume", sections={"experience": f"worked on {i}"})
             for i in range(n)],
            [Document(id=f"j{j}", kind="job", title=f"post {j}") for j in range(k)])


RESUMES, JOBS = world()


def asked(gains, **more):
    return Benchmark(name="x", aspect=FIT, resumes=RESUMES, jobs=JOBS, gains=gains, **more)


@pytest.mark.parametrize("way", [TO_RESUMES, TO_JOBS])
def test_ir_measures_reads_what_we_write_and_agrees(tmp_path, way):
    ir = pytest.importorskip("ir_measures")
    rng = np.random.default_rng(1)
    gains = rng.choice([0, 0, 1, 3, np.nan], (7, 5))
    gains[:, 0], gains[0] = 1, 1
    bench, scores = asked(gains), rng.random((7, 5))
    X.write_qrels(tmp_path / "q", bench, way)
    X.write_run(tmp_path / "r", bench, way, scores)
    qrels = list(ir.read_trec_qrels(str(tmp_path / "q")))
    run = list(ir.read_trec_run(str(tmp_path / "r")))
    assert len(qrels) == len(run) == (~np.isnan(gains)).sum()
    got = ir.calc_aggregate([ir.nDCG @ 3, ir.AP], qrels, run)
    s, g = (scores, gains) if way == TO_JOBS else (scores.T, gains.T)
    assert got[ir.nDCG @ 3] == pytest.approx(m.ndcg_at_k(s, g, k=3).mean())
    assert got[ir.AP] == pytest.approx(m.average_precision(s, g).mean())


def test_a_run_read_back_is_a_system_with_the_same_figures(tmp_path):
    rng = np.random.default_rng(2)
    bench, scores = asked(rng.integers(0, 2, (7, 5)).astype(float)), rng.normal(size=(7, 5))
    X.write_run(tmp_path / "r", bench, TO_RESUMES, scores)
    report = evaluate({"a": lambda r, j: scores, "b": X.read_run(tmp_path / "r")}, [bench],
                      n_boot=10)
    a, b = ([r["value"] for r in report.rows if r["system"] == s] for s in "ab")
    assert a == b


cells = st.sampled_from([0.0, 1.0, 2.0, float("nan")])


@settings(max_examples=20, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(cells, min_size=35, max_size=35), st.sampled_from([TO_RESUMES, TO_JOBS]))
def test_round_trips_of_any_judgements(tmp_path, values, way):
    gains = np.array(values).reshape(7, 5)
    gains[3, 2] = 2.0
    X.write_qrels(tmp_path / "q", asked(gains), way)
    np.testing.assert_equal(X.read_qrels(tmp_path / "q", RESUMES, JOBS, direction=way).gains, gains)
    X.write_ranking(tmp_path / "rank.json", asked(gains), way)
    back = X.read_ranking(tmp_path / "rank.json", RESUMES, JOBS)
    np.testing.assert_equal(back.gains, np.where(np.isnan(gains), np.nan, gains > 0))
    assert back.directions == (way,)


@settings(max_examples=80, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(
        st.sampled_from(["j0", "u0", "user_ids", "jd_nos", "satisfied", "x"]), x, max_size=3),
    max_leaves=8).map(json.dumps))
def test_any_text_is_a_benchmark_or_a_sentence(tmp_path, text):
    path = tmp_path / "f"
    path.write_text(text, encoding="utf-8", errors="replace")
    for read in (X.read_labelled_pairs, X.read_run, lambda p: X.read_ranking(p, RESUMES, JOBS),
                 lambda p: X.read_label_lines(p, RESUMES, JOBS),
                 lambda p: X.read_qrels(p, RESUMES, JOBS)):
        try:
            read(path)
        except ReadError as e:
            assert str(path) in str(e)


def table(path, rows):
    with path.open("w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows([X.COLUMNS, *rows])
    return path


def test_an_error_names_the_line_and_no_text(tmp_path):
    secret = "Jane Roe, jane@example.org"
    for bad in ([(secret, "job", "Maybe")], [(secret, "job", "1", "x")], [(secret, "", "1")]):
        path = table(tmp_path / "p.csv", [("fine\nwith a line more", "job", "1"), *bad])
        with pytest.raises(ReadError) as e:
            X.read_labelled_pairs(path)
        assert "line 4" in str(e.value) and "Jane" not in str(e.value)
    with pytest.raises(ReadError, match="can't be opened"):
        X.read_labelled_pairs(tmp_path / "absent.csv")


def generous(tmp_path, shuffle=None, seed=5):
    """Jobs that differ in their share of good fits only; words say nothing."""
    rng, rows = np.random.default_rng(seed), []
    for j in range(20):
        for _ in range(12):
            label = int(rng.random() < (0.1 + 0.8 * (j % 2)))
            rows.append((f"person {rng.integers(1 << 40)}", f"job {j}", label))
    if shuffle is not None:
        labels = np.random.default_rng(shuffle).permutation([r[2] for r in rows])
        rows = [(a, b, c) for (a, b, _), c in zip(rows, labels, strict=True)]
    return X.read_labelled_pairs(table(tmp_path / f"{seed}{shuffle}.csv", rows))


def test_a_scorer_of_jobs_shines_overall_and_knows_nothing_within(tmp_path):
    pairs = generous(tmp_path)
    rate = {j.id: pairs.labels[pairs.rows[:, 1] == n].mean() for n, j in enumerate(pairs.jobs)}

    def knows_jobs(resumes, jobs):
        return np.tile([rate[j.id] for j in jobs], (len(resumes), 1))

    got = X.pairs_report({"jobs": knows_jobs}, pairs, n_boot=100).set_index(
        ["scope", "metric", "system"])
    overall, within = got.loc[("overall", "AUC", "jobs")], got.loc[("within a job", "AUC", "jobs")]
    assert overall.low > 0.75 and within.value == 0.5
    prior = got.loc[("overall", "AUC", "prior (other pairs of the job)")]
    assert prior.low > 0.75  # the control gives it away


def test_shuffled_labels_are_no_better_than_chance(tmp_path):
    pairs, other = generous(tmp_path, shuffle=1), generous(tmp_path, shuffle=2, seed=6)
    coins = {f"coin {k}": random_scorer(k) for k in range(12)}
    got = X.pairs_report({**coins, "constant": lambda r, j: np.ones((len(r), len(j)))},
                         pairs, other, n_boot=60)
    ranked = got[got.metric != "weighted F1"]
    constant = ranked[ranked.system == "constant"]
    np.testing.assert_allclose(constant.value, constant.chance)
    assert (ranked.low > ranked.chance).mean() < 0.1  # two-sided 95 % intervals: 2.5 % expected
    f1 = got[got.metric == "weighted F1"]
    assert (f1.low > f1.chance).mean() < 0.1


def test_the_threshold_comes_from_validation(tmp_path):
    test, validation = generous(tmp_path), generous(tmp_path, seed=6)
    seen = []

    def scorer(resumes, jobs):
        seen.append(len(resumes))
        return random_scorer()(resumes, jobs)

    without = X.pairs_report({"s": scorer}, test, n_boot=10)
    assert "weighted F1" not in set(without.metric)
    with_it = X.pairs_report({"s": scorer}, test, validation, n_boot=10)
    s = scorer(validation.resumes, validation.jobs)[tuple(validation.rows.T)]
    t = m.tune_threshold(s, validation.labels > 0.5)
    want = m.weighted_f1(random_scorer()(test.resumes, test.jobs)[tuple(test.rows.T)],
                         test.labels > 0.5, t, n_boot=1).mean
    assert with_it[with_it.metric == "weighted F1"].value.item() == pytest.approx(want)


def test_the_job_prior_leaves_the_pair_itself_out(tmp_path):
    pairs = X.read_labelled_pairs(table(tmp_path / "p.csv", [
        ("a", "x", 1), ("b", "x", 0), ("c", "x", 0), ("d", "y", 1)]))
    np.testing.assert_allclose(X.job_prior(pairs), [0, 0.5, 0.5, 1 / 3])
