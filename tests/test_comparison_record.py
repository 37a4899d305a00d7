"""The recorded A/B of the real run follows from its own parts, and holds numbers only."""

import json

import numpy as np
import pytest

from resume_contrastive.comparison import DecisionRule, decide, holm
from resume_contrastive.store import read_json

BOTH = ("differences", "blend_differences")


@pytest.fixture(scope="module")
def record(root):
    return read_json(root / "data" / "results" / "comparison.json")


@pytest.fixture(scope="module")
def rule(record):
    given = record["rule"]
    return DecisionRule(**{**given, "aspects": tuple(given["aspects"]),
                           "metrics": tuple(map(tuple, given["metrics"]))})


def headline(rows):
    return [r for r in rows if r["headline"]]


def test_the_decision_follows_from_the_rows(record, rule):
    made = decide(record["differences"], rule, record["blend_differences"])
    assert made.option == record["decision"]["option"]
    assert list(made.reasons) == record["decision"]["reasons"]
    assert record["rule_words"] == rule.sentence()


@pytest.mark.parametrize("part", BOTH)
def test_verdicts_and_corrected_p_values_follow_from_the_numbers(record, rule, part):
    rows = headline(record[part])
    assert all(r["n"] >= rule.min_queries for r in rows)
    np.testing.assert_allclose(holm([r["p"] for r in rows]), [r["p_holm"] for r in rows])
    ups = [r["p"] if r["difference"] > 0 else 1.0 for r in rows]
    np.testing.assert_allclose(holm(ups), [r["p_better"] for r in rows])
    for r in rows:
        better = (r["low_corrected"] > rule.margin and r["p_better"] < 1 - rule.level
                  and r["above_chance"])
        plain = ("worse" if r["high"] < 0 else
                 "too few" if r["detectable"] > rule.effect else "no gain")
        assert r["verdict"] == ("better" if better else plain)


@pytest.mark.parametrize("part", BOTH)
def test_differences_are_those_of_the_values_and_intervals_are_nested(record, part):
    for r in record[part]:
        assert np.isclose(r["difference"], r["value_a"] - r["value_b"], atol=1e-9)
        assert r["low"] <= r["difference"] <= r["high"] and r["clusters"] <= r["n"]
        if r["headline"]:
            assert r["low_corrected"] <= r["low"] <= r["high"] <= r["high_corrected"]


def test_weights_are_blends_and_gains_were_not_seen(record):
    for b in record["blends"]:
        assert min(b["weights"].values()) >= 0 and np.isclose(sum(b["weights"].values()), 1)
        assert len(b["folds"]) == 5
        assert all(d["low"] <= d["difference"] <= d["high"] for d in b["validation"].values())
    one = record["blends"][0]
    assert np.isclose(one["weights"]["learned"], np.median(one["folds"]))
    assert one["test"] == headline(record["blend_differences"])


def test_calibration_errors_are_those_of_the_curves(record):
    for part in record["calibration"].values():
        for row in part["rows"]:
            if row["map"] == "as served":
                bins = part["curves"][row["system"]]
                error = sum(b["share"] * abs(b["said"] - b["found"]) for b in bins)
                assert np.isclose(error, row["error"]) and sum(b["n"] for b in bins) == row["n"]
            assert row["brier_low"] <= row["brier"] <= row["brier_high"]


def test_the_record_names_what_a_reader_needs_and_holds_no_document(record):
    for key in ("seed", "data_hash", "code", "machine", "versions", "config", "correlation"):
        assert record[key] or record[key] == 0
    text = json.dumps(record)
    assert "resume_id" not in text and "job_id" not in text and "job-0" not in text
    assert set(record["machine"]) <= {"cpu", "cores", "memory_gb", "python", "system"}
    costs = record["cost"]["one new"]
    assert all(t["cold"] > t["warm"] > 0 for t in costs.values())
