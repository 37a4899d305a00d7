"""Benchmarks and the evaluator: planted cases come out as they must, bad input is a sentence."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from resume_contrastive import benchmarks as B
from resume_contrastive import evaluation as E
from resume_contrastive.documents import Document, ReadError

DATA = os.environ.get("RESUME_CONTRASTIVE_DATA", "")


def real(test):
    return pytest.mark.real(
        pytest.mark.skipif(not DATA, reason="RESUME_CONTRASTIVE_DATA is not set")(test))


def doc(kind, id, text, skills="", category=""):
    main = "experience" if kind == "resume" else "requirements"
    sections = {main: text} | ({"skills": skills} if skills else {})
    return Document(id=id, kind=kind, title=category, category=category, sections=sections)


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    names = ["cook", "nurse", "welder"]
    show = [[f"{names[i % 3]}{k}" for k in rng.permutation(8)[:5]] for i in range(30)]
    resumes = [doc("resume", f"r{i}", "did " + " ".join(s), ", ".join(s), names[i % 3])
               for i, s in enumerate(show)]
    jobs = [doc("job", f"j{j}", " ".join(f"{names[j % 3]}{k}" for k in rng.permutation(8)[:3]),
                category=names[j % 3]) for j in range(15)]
    rows = []
    for r in resumes:
        for j in jobs:
            shown = set(j.sections["requirements"].split()) <= set(r.text.replace(",", "").split())
            rows.append((r.id, j.id, 2 + shown if r.category == j.category else 0))
    return resumes, jobs, pd.DataFrame(rows, columns=["resume_id", "job_id", "label"])


@pytest.fixture(scope="module")
def both(world):
    return [B.labels_benchmark(*world, aspect, name="w") for aspect in ("role", "fit")]


def constant(resumes, jobs):
    return np.full((len(resumes), len(jobs)), 0.5)


# ------------------------------------------------------------------ controls


def test_random_scorer_depends_on_texts_and_seed_only(world):
    resumes, jobs, _ = world
    one = B.random_scorer(3)(resumes, jobs)
    assert one.shape == (30, 15) and 0 <= one.min() and one.max() < 1
    renamed = [replace(r, id=f"other-{r.id}") for r in resumes]
    np.testing.assert_array_equal(B.random_scorer(3)(renamed[::-1], jobs)[::-1], one)
    assert (B.random_scorer(4)(resumes, jobs) != one).all()


def test_prior_reads_no_resume(world):
    resumes, jobs, _ = world
    score = B.prior_scorer(resumes[:10])
    rows = score(resumes[10:], jobs)
    assert (rows == rows[0]).all() and rows.std() > 0
    nonsense = [doc("resume", "x", "zebra")]
    np.testing.assert_array_equal(score(nonsense, jobs)[0], rows[0])


def test_tfidf_knows_training_words_only(world):
    resumes, jobs, _ = world
    score = B.tfidf_scorer([doc("resume", "t", "welder1 welder2")])
    got = score(resumes, jobs)
    assert (got[0] == 0).all()  # a cook: none of its words occurred in training
    assert got[2::3].max() > 0


def test_bm25_is_the_librarys_and_keeps_order_within_a_job(world):
    bm25s = pytest.importorskip("bm25s")
    resumes, jobs, _ = world
    ours = B.bm25_scorer()(resumes, jobs)
    options = dict(stopwords="en", show_progress=False)
    index = bm25s.BM25()
    index.index(bm25s.tokenize([r.text for r in resumes], **options), show_progress=False)
    queries = bm25s.tokenize([j.text for j in jobs], return_ids=False, **options)
    for j, query in enumerate(queries):
        theirs = index.get_scores(query)
        share = ours[:, j][theirs > 0] / theirs[theirs > 0]
        np.testing.assert_allclose(share, share[0], rtol=1e-4)  # one divisor for the whole job
        assert (ours[:, j][theirs == 0] == 0).all()
    assert ours.max() <= 1 + 1e-6


def test_bm25_survives_jobs_without_known_words(world):
    resumes, jobs, _ = world
    strange = [doc("job", "s", "zebra giraffe"), doc("job", "e", "of the"), jobs[0]]
    got = B.bm25_scorer()(resumes, strange)
    assert (got[:, :2] == 0).all() and got[:, 2].max() > 0


@pytest.mark.parametrize("make", [B.prior_scorer, B.tfidf_scorer])
def test_controls_need_training_text(make):
    with pytest.raises(ValueError, match="needs training documents"):
        make([])


# ------------------------------------------------------------------ benchmarks


def test_role_and_fit_ask_different_questions(both):
    role, fit = both
    assert set(np.unique(role.gains)) == {0.0, 2.0}  # a near-miss has the right role
    same = np.array([[r.category == j.category for j in fit.jobs] for r in fit.resumes])
    assert np.isnan(fit.gains[~same]).all() and not np.isnan(fit.gains[same]).any()

    def knows_role_only(resumes, jobs):
        return np.array([[r.category == j.category for j in jobs] for r in resumes], dtype=float)

    table = E.evaluate({"role": knows_role_only}, both, n_boot=50).table
    auc = table[table.metric == "AUC"].set_index("aspect").value
    assert (auc["role"] == 1.0).all() and auc["fit"] == 0.5


def test_pairs_benchmark_takes_the_table_as_it_is(world):
    resumes, jobs, _ = world
    pairs = pd.DataFrame([("r0", "j0", 0.7), ("r0", "j0", 0.9), ("r1", "j1", 0.4), ("zz", "j0", 1)],
                         columns=["resume_id", "job_id", "label"])
    got = B.pairs_benchmark(resumes, jobs, pairs)
    assert got.gains[0, 0] == 0.9 and got.gains[1, 1] == 0.4 and (got.gains > 0).sum() == 2
    with pytest.raises(ValueError, match="no relevant pair"):
        B.pairs_benchmark(resumes, jobs, pairs[3:])


def test_own_skills_hides_the_list_and_stays_in_the_category(world):
    resumes, _, _ = world
    bench = B.own_skills_benchmark(resumes, draws=2)
    assert len(bench.resumes) == 30 < len(bench.jobs) <= 60  # an equal draw is left out
    assert all("skills" not in r.sections for r in bench.resumes)
    for q, job in enumerate(bench.jobs):
        column = bench.gains[:, q]
        owner = [r for r, g in zip(bench.resumes, column, strict=True) if g == 1]
        assert [f"own-skills:{o.id.removesuffix('-without:skills')}" for o in owner] == [job.source]
        judged = {r.category for r, g in zip(bench.resumes, column, strict=True) if g == g}
        assert judged == {owner[0].category}
    assert len(set(bench.job_clusters)) == 30  # two draws of one resume are one cluster
    fewer = B.own_skills_benchmark(resumes[::2], draws=2)
    assert {j.text for j in fewer.jobs} <= {j.text for j in bench.jobs}
    other = B.own_skills_benchmark(resumes, draws=2, seed=1)
    assert {j.text for j in other.jobs} != {j.text for j in bench.jobs}


def test_own_skills_prior_over_resumes_gets_chance(world):
    """Each resume is right as often as it is wrong, so favourites win nothing."""
    bench = B.own_skills_benchmark(world[0])

    def favourites(resumes, jobs):
        return np.tile(np.arange(len(resumes))[:, None], (1, len(jobs)))

    row = E.evaluate({"f": favourites}, [bench], n_boot=50).rows[0]
    # resumes with an equal draw have fewer queries, so the balance is not exact
    assert row["value"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (dict(aspect="both"), "aspect must be 'role' or 'fit', got 'both'"),
        (dict(gains=np.ones((2, 2))), r"must be \(n_resumes, n_jobs\) = \(30, 15\), got \(2, 2\)"),
        (dict(gains=np.zeros((30, 15))), "no relevant pair"),
        (dict(directions=("job->job",)), "directions must be"),
    ],
)
def test_benchmarks_check_their_parts(both, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(both[0], **change)


# ------------------------------------------------------------------ the evaluator


def test_constant_scorer_gets_exactly_chance(both):
    table = E.evaluate({"constant": constant, "coin": B.random_scorer()}, both, n_boot=50).table
    planted = table[table.system == "constant"]
    assert len(planted) == 13  # five role metrics in both directions, three fit metrics in one
    np.testing.assert_allclose(planted.value, planted.chance, atol=1e-12)


def test_shuffled_labels_are_reported_as_chance(both):
    rng, fake = np.random.default_rng(1), []
    for b in both:
        for s in range(25):
            gains = b.gains.copy()
            for column in gains.T:
                known = ~np.isnan(column)
                column[known] = rng.permutation(column[known])
            fake.append(replace(b, gains=gains, name=f"{b.aspect} {s}"))
    table = E.evaluate({"BM25": B.bm25_scorer()}, fake, n_boot=100).table
    auc = table[(table.metric == "AUC") & (table.direction == E.TO_RESUMES)]
    means = auc.groupby("aspect").value.mean()
    assert (means - 0.5).abs().max() < 0.03
    assert ((auc.low > 0.5) | (auc.high < 0.5)).mean() < 0.2


def test_monotone_maps_and_storage_order_change_nothing(both):
    words = B.bm25_scorer()
    systems = {
        "plain": lambda r, j: words(r, j),
        "mapped": lambda r, j: 5 + words(r, j).astype(float) ** 3,
        "backwards": lambda r, j: words(r[::-1], j[::-1])[::-1, ::-1],
    }
    report = E.evaluate(systems, both, n_boot=50)
    for (bench, direction, metric, system), values in report.kept.items():
        plain = report.values("plain", bench, direction, metric)
        np.testing.assert_allclose(values, plain, atol=1e-9, err_msg=f"{metric} {system}")
    assert not any(r["best"] for r in report.rows)  # three equal systems: none leads


def test_a_real_lead_is_marked_and_luck_is_not(both):
    fit = both[1]
    rng = np.random.default_rng(2)
    truth = np.nan_to_num(fit.gains)

    def noisy(amount, seed):
        noise = np.random.default_rng(seed).normal(size=truth.shape)
        return lambda r, j: truth + amount * noise

    report = E.evaluate({"good": noisy(0.3, 0), "bad": noisy(9.0, 1)}, [fit], n_boot=500)
    assert [r["best"] for r in report.rows if r["metric"] == "AUC"] == [True, False]
    assert report.paired("good", "bad", "w", E.TO_RESUMES, "AUC").low > 0
    lucky = sum(
        any(r["best"] for r in E.evaluate({"a": noisy(9.0, int(a)), "b": noisy(9.0, int(b))},
                                          [fit], n_boot=200).rows if r["metric"] == "AUC")
        for a, b in rng.integers(10, 10_000, (40, 2))
    )
    assert lucky <= 8  # 5 % on each side were to be expected, a little more with 15 jobs


def test_intervals_are_clustered(world):
    """Copies of a query within a cluster add no certainty."""
    bench = B.own_skills_benchmark(world[0], draws=1)
    times = 6
    copied = replace(bench, jobs=[replace(j, id=f"{j.id}-{k}") for j in bench.jobs
                                  for k in range(times)],
                     gains=np.repeat(bench.gains, times, axis=1),
                     job_clusters=np.repeat(bench.job_clusters, times), resume_clusters=())
    scores = np.random.default_rng(0).random(bench.gains.shape)
    widths = []
    for b, s in ((bench, scores), (copied, np.repeat(scores, times, axis=1))):
        row = E.evaluate({"s": lambda r, j, s=s: s}, [b], n_boot=300).rows[0]
        widths.append(row["high"] - row["low"])
    assert widths[0] == pytest.approx(widths[1])


def test_report_renders_role_and_fit_apart_and_is_json(both):
    report = E.evaluate({"BM25": B.bm25_scorer(), "coin": B.random_scorer()}, both, n_boot=100)
    text = report.render()
    head = text.splitlines()[0]
    assert head.count("role: w (role)") == 2 and head.count("fit: w (fit)") == 1
    assert head.index("role:") < head.index("fit:")
    assert "*chance*" in text and text.count("| coin |") == 1
    assert "AUC" in report.render({"fit": "AUC"}).splitlines()[0]
    records = json.loads(json.dumps(report.to_records(), allow_nan=False))
    assert len(records) == len(report.table) == 26
    assert set(records[0]) == {"benchmark", "aspect", "direction", "system", "metric", "value",
                               "low", "high", "n", "chance", "best"}
    again = E.evaluate({"BM25": B.bm25_scorer(), "coin": B.random_scorer()}, both, n_boot=100)
    assert again.rows == report.rows
    assert {s["system"] for s in report.seconds} == {"BM25", "coin"}


@pytest.mark.parametrize(
    ("system", "sentence"),
    [
        (lambda r, j: np.zeros((len(j), len(r))), "system 's' must return"),
        (lambda r, j: np.zeros(3), "system 's' must return"),
        (lambda r, j: np.full((len(r), len(j)), np.nan), "returned 450 NaN scores"),
    ],
)
def test_bad_scores_name_the_system(both, system, sentence):
    with pytest.raises(ValueError, match=sentence):
        E.evaluate({"s": system}, both)


def test_bad_calls(both):
    with pytest.raises(ValueError, match="at least one system"):
        E.evaluate({}, both)
    with pytest.raises(ValueError, match="different names"):
        E.evaluate({"c": constant}, [both[0], both[0]])
    report = E.evaluate({"c": constant}, both, n_boot=50)
    with pytest.raises(ValueError, match="no values of x"):
        report.values("x", "w (fit)", E.TO_RESUMES, "AUC")


def test_plot_shows_every_system(both):
    plt = pytest.importorskip("matplotlib.pyplot")
    report = E.evaluate({"BM25": B.bm25_scorer(), "coin": B.random_scorer()}, both, n_boot=50)
    _, ax = plt.subplots()
    assert E.plot_benchmark(report, "w (fit)", "AUC", ax=ax) is ax
    assert [t.get_text() for t in ax.get_yticklabels()] == ["coin", "BM25"]
    with pytest.raises(ValueError, match="no MAP on w"):
        E.plot_benchmark(report, "w (fit)", "MAP", ax=ax)
    plt.close("all")


# ------------------------------------------------------------------ files


def write_rankings(folder, first, second):
    (folder / "CV").mkdir(parents=True)
    for n in (1, 2, 3):
        (folder / f"CV/{n}.txt").write_text(f"Skills\nskill{n}")
    jobs = [f'{i},"Wants skill{i}",Developer {i},u{i}' for i in (1, 2, 3)]
    (folder / "3_vacancies.csv").write_text("\n".join(["id,job_description,job_title,uid", *jobs]))
    (folder / "annotations-x.txt").write_text(
        f"Total 3 arrays of 3 ranks\r\nANNOTATOR_1_RANKINGS=[{first}] #1-3\r\n\r\n"
        f"ANNOTATOR_2_RANKINGS= [{second}]\r\n")
    return folder


def test_rankings_are_read_with_their_defects(tmp_path):
    got = B.read_rankings(write_rankings(tmp_path / "a", "[2,3,1],[1,3,1], #1-2\n [3,1,2]",
                                         "[2,3,1],[1,2,3]"))
    assert got.problems == ["annotator 1, row 2: [1, 3, 1] is no permutation, left out",
                            "annotator 2: 2 rows, 3 announced"]
    assert got.rows["annotator 1"] == {"1": (2, 3, 1), "3": (3, 1, 2)}
    orders, ranks = (got.gains("annotator 1", reading) for reading in ("orders", "ranks"))
    np.testing.assert_array_equal(orders[[0, 2]], [[0, 2, 1], [1, 0, 2]])
    np.testing.assert_array_equal(ranks[[0, 2]], [[1, 0, 2], [0, 2, 1]])
    assert np.isnan(got.gains("annotator 1", "orders")[1]).all()
    assert (~np.isnan(got.gains("consensus", "ranks"))).all(axis=1).tolist() == [True, False, False]
    with pytest.raises(ValueError, match="reading must be"):
        got.gains("annotator 1", "rows")


def test_rankings_report_shows_what_knows_nothing(tmp_path):
    rankings = B.read_rankings(write_rankings(tmp_path / "a", "[1,2,3],[1,2,3],[1,3,2]",
                                              "[1,2,3],[1,2,3],[1,2,3]"))
    table = E.rankings_report({"c": constant}, rankings, n_boot=50)
    assert set(table.judge) == {"annotator 1", "annotator 2", "consensus"}
    assert set(table.reading) == {"orders", "ranks"}
    at = table[(table.metric == "Spearman") & (table.reading == "orders")]
    value = at.set_index(["judge", "system"]).value
    assert value["annotator 2", "constant ordering (others' mean)"] == 1.0  # reads no resume
    assert value["annotator 2", "chance (expected)"] == value["annotator 2", "c"] == 0.0
    assert value["annotator 2", "annotator 1"] == pytest.approx((1 + 1 + 0.5) / 3)
    # the ranking benchmarks also run through the ordinary evaluator
    report = E.evaluate({"c": constant}, B.rankings_benchmarks(rankings), n_boot=50)
    assert set(report.table.direction) == {E.TO_JOBS}


@pytest.mark.parametrize("missing", ["3_vacancies.csv", "annotations-x.txt"])
def test_rankings_folder_without_a_part(tmp_path, missing):
    folder = write_rankings(tmp_path / "a", "[1,2,3]", "[1,2,3]")
    (folder / missing).unlink()
    with pytest.raises(ReadError, match="holds no"):
        B.read_rankings(folder)


def test_rankings_go_on_without_a_cv(tmp_path):
    folder = write_rankings(tmp_path / "a", "[1,2,3],[1,2,3],[1,2,3]", "[1,2,3],[1,2,3],[1,2,3]")
    (folder / "CV/2.txt").unlink()
    got = B.read_rankings(folder)
    assert [r.id for r in got.resumes] == ["1", "3"]
    assert any("2.docx" in p and "does not exist" in p for p in got.problems)


def test_triples(tmp_path):
    path = tmp_path / "t.jsonl"
    rows = [{"Job-Description": f"Wants skill{i}", "Resume-matched": f"Has skill{i} and more",
             "Resume-unmatched": "Has nothing of it"} for i in range(5)]
    path.write_text("\n".join(map(json.dumps, rows)))
    bench = B.triples_benchmark(path)
    assert bench.gains.shape == (10, 5) and (~np.isnan(bench.gains)).sum() == 10
    row = E.evaluate({"BM25": B.bm25_scorer()}, [bench], n_boot=50).rows[0]
    assert (row["metric"], row["value"], row["chance"]) == ("pairwise accuracy", 1.0, 0.5)
    assert len(B.triples_benchmark(path, limit=2).jobs) == 2
    path.write_text(json.dumps(rows[0]) + "\n{broken")
    with pytest.raises(ReadError, match="record 2"):
        B.triples_benchmark(path)
    with pytest.raises(ReadError, match="does not exist"):
        B.triples_benchmark(tmp_path / "none.jsonl")


def test_import_is_light():
    code = ("import sys, resume_contrastive.evaluation; print("
            "{'torch', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'bm25s'} & set(sys.modules))")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


# ------------------------------------------------------------------ real files


@real
def test_the_public_rankings_hold_what_is_known():
    folder = Path(DATA) / "vacancy-resume"
    if not folder.is_dir():
        pytest.skip("vacancy-resume is not in RESUME_CONTRASTIVE_DATA")
    rankings = B.read_rankings(folder)
    assert {a: len(r) for a, r in rankings.rows.items()} == {"annotator 1": 28, "annotator 2": 20}
    assert len(rankings.problems) == 3
    table = E.rankings_report({"coin": B.random_scorer()}, rankings, n_boot=100)
    value = table.set_index(["reading", "judge", "system", "metric"]).value
    for reading in ("orders", "ranks"):
        blind = value[reading, "annotator 1", "constant ordering (others' mean)", "Spearman"]
        assert 0.6 < blind < 0.7  # passes 'Spearman > .3' without reading a resume
        chance = value[reading, "annotator 1", "chance (expected)", "NDCG@5"]
        assert chance == pytest.approx(0.805, abs=1e-3)  # passes 'NDCG@5 > .7'


@real
def test_real_triples_are_solved_by_words():
    path = Path(DATA) / "rjdb" / "triples.jsonl"
    if not path.is_file():
        pytest.skip("rjdb is not in RESUME_CONTRASTIVE_DATA")
    report = E.evaluate({"BM25": B.bm25_scorer()}, [B.triples_benchmark(path)], n_boot=100)
    assert 0.88 < report.rows[0]["value"] < 0.97


# ------------------------------------------------------------------ leads and verdicts


def taste_of(seed, personal):
    """Five vacancies, 60 resumes, two annotators who share a liking and a taste of each resume."""
    rng = np.random.default_rng(seed)
    people = [doc("resume", f"{i}", f"person {i}") for i in range(60)]
    posts = [doc("job", f"{j}", f"post {j}") for j in range(5)]
    liked, taste = np.array([4.0, 3, 2, 1, 0]), personal * rng.normal(size=(60, 5))
    rows = {f"annotator {a}": {p.id: tuple(int(v) + 1 for v in np.argsort(-row))
                               for p, row in zip(people, liked + taste + 0.5 * rng.normal(
                                   size=(60, 5)), strict=True)} for a in (1, 2)}
    return B.Rankings(resumes=people, jobs=posts, rows=rows, problems=[]), liked, taste


def test_verdicts_tell_a_popular_vacancy_from_a_resume_that_was_read():
    rankings, liked, taste = taste_of(1, 1.5)
    systems = {"popular": lambda r, j: np.tile(liked, (60, 1)), "reads": lambda r, j: liked + taste,
               "constant": constant, "coin": B.random_scorer()}
    table = E.rankings_report(systems, rankings, n_boot=200)
    at = table[table.reading == "orders"].set_index(["judge", "metric", "system"])
    for judge in ("annotator 1", "consensus"):
        verdict = at.loc[judge].verdict
        assert verdict["Spearman", "popular"] == "no better than a constant ordering"
        assert at.loc[judge].value["Spearman", "popular"] > E.TARGETS["Spearman"]
        assert verdict["Spearman", "reads"] == "better than both"
        for blind in ("constant", "coin"):
            assert verdict["Spearman", blind] == "no better than chance"
        assert at.loc[judge].value[E.APART, "popular"] == 0
        assert verdict[E.APART, "reads"] == "better than both"
    shown = at.sort_index().loc[("annotator 1", "Spearman")]
    assert shown["lead over prior"]["reads"] == pytest.approx(
        shown.value["reads"] - shown.value[E.PRIOR])
    assert (shown.detectable.drop("chance (expected)") >= 0).all()


def test_centred_spearman_ignores_a_constant_added_for_each_job():
    rng = np.random.default_rng(3)
    s, g = rng.normal(size=(30, 5)), rng.integers(0, 5, (30, 5)).astype(float)
    g[4] = np.nan
    moved = E.centred_spearman(s + 1000 * np.arange(5), g + np.arange(5))
    np.testing.assert_allclose(moved, E.centred_spearman(s, g), atol=1e-6)
    assert np.isnan(moved[4]) and not np.isnan(np.delete(moved, 4)).any()
    assert (E.centred_spearman(np.tile(rng.random(5), (30, 1)), g)[:4] == 0).all()
