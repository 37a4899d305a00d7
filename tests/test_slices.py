"""Files in categories, slices, triples and padding: planted cases come out as they must."""

import numpy as np
import pytest

from resume_contrastive import pdfs as P
from resume_contrastive import slices as S
from resume_contrastive.benchmarks import Benchmark, bm25_scorer, random_scorer
from resume_contrastive.documents import Document, ReadError


def doc(kind, n, text, category=""):
    main = "experience" if kind == "resume" else "requirements"
    return Document(id=f"{kind[0]}{n}", kind=kind, category=category, sections={main: text})


# ------------------------------------------------------------------ categories


@pytest.fixture(scope="module")
def kinds():
    rng, names = np.random.default_rng(0), ["cook", "nurse", "welder"]
    resumes = [doc("resume", n, " ".join(f"{names[n % 3]}{k}" for k in rng.permutation(9)[:5]),
                   names[n % 3]) for n in range(60)]
    jobs = [doc("job", n, " ".join(f"{names[n % 3]}{k}" for k in range(9)), names[n % 3])
            for n in range(6)]
    return resumes, jobs


def test_words_tell_categories_and_a_coin_does_not(kinds):
    found = P.category_report({"BM25": bm25_scorer(), "coin": random_scorer(), "constant":
                               lambda r, j: np.zeros((len(r), len(j)))}, *kinds, n_boot=100)
    at = found[found.category == ""].set_index(["system", "metric"])
    assert at.loc[("BM25", "right first")].value == 1
    assert at.loc[("BM25", "AUC, mean of categories")].low > 0.99
    for metric in ("right first", "AUC, mean of categories"):
        row = at.loc[("coin", metric)]
        assert row.low <= row.chance <= row.high
        assert at.loc[("constant", metric)].value == pytest.approx(row.chance)


def test_categories_equal_sklearn_and_the_definition(kinds):
    sk = pytest.importorskip("sklearn.metrics")
    resumes, jobs = kinds
    s = np.random.default_rng(1).integers(0, 4, (60, 6)) / 3
    found = P.category_report({"s": lambda r, j: s}, resumes, jobs, n_boot=3).set_index(
        ["metric", "category"]).value
    for c in ("cook", "nurse", "welder"):
        best = s[:, [j.category == c for j in jobs]].max(axis=1)
        want = sk.roc_auc_score([r.category == c for r in resumes], best)
        assert found["AUC, one against the rest", c] == pytest.approx(want)
    want = []
    for i, r in enumerate(resumes):
        top = [j for j in range(6) if s[i, j] == s[i].max()]
        want.append(np.mean([jobs[j].category == r.category for j in top]))
    assert found["right first", ""] == pytest.approx(np.mean(want))


def test_any_folder_of_categories_is_read(tmp_path):
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.txt").write_text("Experience\nBaked bread")
    (tmp_path / "B" / "bad.pdf").write_bytes(b"no PDF")
    (tmp_path / "stray.txt").write_text("Experience\nnot in a category")
    found, bad = P.read_categories(tmp_path, workers=0)
    assert [(d.id, d.category) for d in found] == [("A/one.txt", "A"), ("B/one.txt", "B")]
    assert [b["path"] for b in bad] == ["B/bad.pdf"]
    with pytest.raises(ReadError, match="holds no resume"):
        P.read_categories(tmp_path / "absent")


def test_scores_outside_the_scale_are_refused(kinds):
    with pytest.raises(ValueError, match="'cosine' must return"):
        P.score_report({"cosine": lambda r, j: np.full((len(r), len(j)), -0.1)}, *kinds)


# ------------------------------------------------------------------ triples


def triples(longer):
    n = 30
    jobs = [doc("job", k, f"tool{k} craft{k}") for k in range(n)]
    good = [doc("resume", k, f"tool{k} craft{k}" + " word" * (9 if longer else 0))
            for k in range(n)]
    bad = [doc("resume", n + k, f"tool{k}" + " other" * 6) for k in range(n)]
    gains = np.full((2 * n, n), np.nan)
    gains[np.arange(n), np.arange(n)], gains[np.arange(n) + n, np.arange(n)] = 1, 0
    return Benchmark(name="t", aspect="fit", resumes=good + bad, jobs=jobs, gains=gains)


def test_length_alone_wins_where_the_better_is_longer_and_only_there():
    won = S.triples_report({}, triples(True))
    assert won.value.tolist() == [1.0] and won.subset.tolist() == ["all"]
    lost = S.triples_report({"BM25": bm25_scorer()}, triples(False)).set_index(
        ["system", "subset"]).value
    assert lost["longer resume wins", "unmatched is not shorter"] == 0
    assert lost["BM25", "unmatched is not shorter"] > 0.9


# ------------------------------------------------------------------ slices and padding


def test_equal_slices_are_not_called_different():
    rng, alarms = np.random.default_rng(2), 0
    for _ in range(20):
        labels = {"category": rng.choice(list("abcdefgh"), 160)}
        alarms += S.slice_table(rng.normal(size=160), labels, n_boot=400).differs.any()
    assert alarms <= 4


def test_small_slices_and_unknown_values_are_left_out():
    values = np.array([1.0, 0, 1, 0, 1, 0, np.nan, 1, 1, 1, 1, 1])
    labels = {"k": np.array(["a"] * 6 + [""] + ["b"] * 4 + ["c"])}
    table = S.slice_table(values, labels, least=4, n_boot=50)
    assert table.slice.tolist() == ["a", "b"]
    assert table.n.tolist() == [6, 4] and table.value.tolist() == [0.5, 1.0]
    assert table.difference.tolist() == pytest.approx([-0.5, 0.5 - 1 / 14])


def test_padding_says_nothing_and_is_seen_by_what_counts_words():
    resumes = [doc("resume", n, "skill " * (50 + 10 * n)) for n in range(15)]
    jobs = [doc("job", n, "skill") for n in range(2)]
    assert S.padded(resumes[0], 0).text == resumes[0].text
    assert S.padded(resumes[0], 333).n_words == resumes[0].n_words + 333
    length = S.length_scorer()
    got = S.length_bias({"length": length, "minus": lambda r, j: -length(r, j),
                         "constant": lambda r, j: np.ones((len(r), len(j)))}, resumes, jobs,
                        n_boot=100).set_index(["system", "metric"])
    assert got.loc[("length", "slope")].low > 0 > got.loc[("minus", "slope")].high
    assert got.loc[("length", "overtaken")].value == pytest.approx(0.5)
    assert (got.loc["constant"][["value", "low", "high"]] == 0).all().all()
    with pytest.raises(ValueError, match="two resumes"):
        S.length_bias({}, resumes[:1], jobs)
