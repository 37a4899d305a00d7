"""The record of the benchmarks: a part of it computed again, and what it must show."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from resume_contrastive import pdfs as P
from resume_contrastive import slices as S
from resume_contrastive.benchmarks import (
    bm25_scorer,
    random_scorer,
    read_rankings,
    triples_benchmark,
)
from resume_contrastive.evaluation import APART, PRIOR, RANKING_METRICS, rankings_report
from resume_contrastive.store import read_json

UNTRAINED = {"BM25": bm25_scorer(), "random": random_scorer(0)}  # no run is needed for these


@pytest.fixture(scope="module")
def record(root):
    """The committed record."""
    return read_json(root / "data" / "results" / "benchmarks.json")


def part(real_data, name):
    """A folder of the real data; the test is skipped where it is absent."""
    folder = real_data / name
    if not folder.exists():
        pytest.skip(f"{name} is not in RESUME_CONTRASTIVE_DATA")
    return folder


def same(again, recorded, keys, columns=("value",), within=2e-3):
    """Compare the rows that both hold; there must be some."""
    recorded = pd.DataFrame(recorded).set_index(keys)
    again = again.set_index(keys)
    both = again.index.intersection(recorded.index)
    assert len(both) == len(again) > 0
    for column in columns:
        np.testing.assert_allclose(again.loc[both, column].astype(float),
                                   recorded.loc[both, column].astype(float), atol=within)


@pytest.mark.real
def test_vacancy_rows_are_what_the_files_give(record, real_data):
    rankings = read_rankings(part(real_data, "vacancy-resume"))
    stage, settings = record["stages"]["vacancy"], record["settings"]
    again = rankings_report(UNTRAINED, rankings, n_boot=200, seed=settings["seed"])
    keys = ["reading", "judge", "system", "metric"]
    same(again, stage["rows"], keys, ("value", "n", "detectable", "lead over chance"))
    same(again, stage["rows"], keys, ("low", "high"), within=0.06)  # fewer resamples here
    assert stage["problems"] == len(rankings.problems)


@pytest.mark.real
def test_pdf_rows_are_what_the_files_give(record, real_data, root):
    resumes, _ = P.read_categories(part(real_data, "resume"), workers=0)
    jobs = P.read_reference_jobs(root / "data" / "reference_jobs")
    again = P.category_report(UNTRAINED, resumes, jobs, n_boot=5)
    same(again, record["stages"]["pdfs"]["categories"], ["system", "metric", "category"],
         ("value", "n", "chance"))
    scaled = {k: lambda r, j, f=f: np.clip(100 * f(r, j), 0, 100) for k, f in UNTRAINED.items()}
    again = P.score_report(scaled, resumes, jobs, n_boot=5)
    same(again, record["stages"]["pdfs"]["scores"], ["system", "pairs"], ("mean", "sd"), 0.2)


@pytest.mark.real
def test_triples_are_what_the_file_gives(record, real_data):
    bench = triples_benchmark(part(real_data, "rjdb") / "triples.jsonl")
    again = S.triples_report({"BM25": bm25_scorer()}, bench, n_boot=50)
    same(again, record["stages"]["triples"]["rjdb"], ["system", "subset"], ("value", "n"))
    value = again.set_index(["system", "subset"]).value
    assert value["longer resume wins", "all"] > 0.6  # the set's known weakness
    assert value["longer resume wins", "unmatched is not shorter"] <= 0.5


@pytest.mark.real
def test_learned_rows_are_what_the_run_gives(record, real_data, root):
    folder = Path(os.environ.get("RESUME_CONTRASTIVE_RUN", root / "runs" / "real"))
    if not (folder / "model").is_dir():
        pytest.skip("no run here: name one in RESUME_CONTRASTIVE_RUN")
    from resume_contrastive.encoder import encoder_score
    from resume_contrastive.pipeline import Pipeline

    run = Pipeline(folder)
    if run.data.manifest["data_hash"] != record["data_hash"]:
        pytest.skip("the run was made with other data than the record's")
    best = run.trained("best")
    rankings = read_rankings(part(real_data, "vacancy-resume"))
    again = rankings_report({"learned": encoder_score(best, best.model)}, rankings, n_boot=20)
    same(again, record["stages"]["vacancy"]["rows"], ["reading", "judge", "system", "metric"],
         within=0.02)


# ------------------------------------------------------------------ what the record must show


def test_targets_that_chance_passes_are_shown_as_such(record):
    rows = pd.DataFrame(record["stages"]["vacancy"]["rows"])
    assert set(rows.metric) == set(RANKING_METRICS) and set(rows.reading) == {"orders", "ranks"}
    assert set(rows.judge) == {"annotator 1", "annotator 2", "consensus"}
    assert set(record["systems"]) <= set(rows.system)
    blind = rows[rows.system == "chance (expected)"]
    assert (blind[blind.metric.str.startswith("NDCG")].value > 0.7).all()
    prior = rows[(rows.system == PRIOR) & (rows.metric == "Spearman")]
    assert (prior.value > 0.3).all() and APART not in set(rows[rows.system == PRIOR].metric)
    passed = rows[(rows.metric == "NDCG@5") & rows.system.isin(record["systems"])]
    assert (passed.value > 0.7).all() and not (passed.verdict == "better than both").any()


def test_shuffled_labels_and_a_constant_are_no_better_than_chance(record):
    stage = record["stages"]["shuffled"]
    assert stage["seem better than chance"]["constant"] == 0
    assert max(stage["seem better than chance"].values()) <= 0.2 * stage["runs"]
    assert all(abs(v - 0.5) < 0.02 for v in stage["mean AUC"].values())


def test_a_prior_that_reads_no_resume_tells_no_category(record):
    rows = pd.DataFrame(record["stages"]["pdfs"]["categories"])
    prior = rows[(rows.system == "prior") & rows.metric.str.startswith("AUC")]
    assert len(prior) == 7 and (prior.value == 0.5).all()
    bias = pd.DataFrame(record["stages"]["length"]["rows"])
    still = bias[bias.system.isin(["prior"])]
    assert (still.value.abs() < 1e-9).all()


def test_the_record_holds_numbers_only(record, root):
    text = (root / "data" / "results" / "benchmarks.json").read_text(encoding="utf-8")
    assert ".pdf" not in text and ".docx" not in text and "@" not in text.replace("NDCG@5", "") \
        .replace("nDCG@10", "").replace("recall@10", "")
    assert {"machine", "settings", "data_hash", "code", "versions", "inputs"} <= set(record)
