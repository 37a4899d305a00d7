"""Splits: nothing on two sides, everything counted, the same cut every time."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from resume_contrastive.documents import Document, read_table
from resume_contrastive.splits import (
    SPLITS,
    SplitConfig,
    Splits,
    group_documents,
    is_generated,
    make_splits,
    origins,
)

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"


@pytest.fixture(scope="module")
def corpus():
    resumes = read_table(SAMPLE / "resumes.csv", "resume")[0]
    jobs = read_table(SAMPLE / "jobs.csv", "job")[0]
    twins = [replace(d, id=f"twin-{d.id}", title="", source="elsewhere#1") for d in resumes[:40]]
    copies = [replace(d, id=f"{d.id}~eda0", sections={"other": "new"}, source=f"eda:{d.id}")
              for d in resumes[40:80]]
    queries = [Document(id=f"skills-of:{d.id}:0", kind="job", source=f"own-skills:{d.id}",
                        sections={"requirements": f"phrase {n}"}) for n, d in enumerate(resumes)]
    truth = pd.read_csv(SAMPLE / "labels.csv", dtype={"resume_id": str, "job_id": str})
    pairs = truth[truth.label >= 2][["resume_id", "job_id", "label"]]
    own = pd.DataFrame({"resume_id": [f"{d.id}-without:skills" for d in resumes],
                        "job_id": [q.id for q in queries], "label": 1})
    eda = pairs[pairs.resume_id.isin([d.id for d in resumes[40:80]])]
    pairs = pd.concat([pairs, own, eda.assign(resume_id=eda.resume_id + "~eda0")])
    return [*resumes, *twins, *copies], [*jobs, *queries], pairs


@pytest.fixture(scope="module")
def splits(corpus):
    return make_splits(*corpus)


def test_every_document_has_a_split(corpus, splits):
    assert set(splits.resumes) == {d.id for d in corpus[0]}
    assert set(splits.jobs) == {d.id for d in corpus[1]}
    assert {*splits.resumes.values(), *splits.jobs.values()} == set(SPLITS)


def test_no_group_is_on_two_sides(corpus, splits):
    for d in corpus[0][:240]:
        if f"twin-{d.id}" in splits.resumes:
            assert splits.resumes[f"twin-{d.id}"] == splits.resumes[d.id]
        if f"{d.id}~eda0" in splits.resumes:
            assert splits.resumes[f"{d.id}~eda0"] == splits.resumes[d.id]
        assert splits.jobs[f"skills-of:{d.id}:0"] == splits.resumes[d.id]
        assert splits.of("resume", f"{d.id}-without:skills") == splits.resumes[d.id]


def test_pairs_have_both_ends_inside_and_all_are_counted(corpus, splits):
    seen = 0
    for name in SPLITS:
        table = splits.pairs(name)
        seen += len(table)
        for r, j in zip(table.resume_id, table.job_id, strict=True):
            assert splits.of("resume", r) == splits.of("job", j) == name
    report = splits.report
    assert seen == sum(report["pairs"].values())
    assert seen + sum(report["dropped_pairs"].values()) == len(corpus[2])
    assert len(splits.pairs("train")) > 0.6 * len(corpus[2])


def test_generated_text_stays_out_of_the_test_pairs(corpus, splits):
    assert any(splits.resumes[d.id] == "test" for d in corpus[0] if is_generated(d))
    assert not splits.pairs("test").resume_id.str.contains("~eda").any()
    assert splits.report["dropped_pairs"]["generated text in test"] > 0
    assert splits.pairs("test").job_id.str.startswith("skills-of:").any()  # cut out, not invented


def test_shares_hold_in_each_category(corpus, splits):
    for category in {d.category for d in corpus[0]}:
        n = Counter(splits.resumes[d.id] for d in corpus[0] if d.category == category)
        assert abs(n["train"] / n.total() - 0.8) < 0.1, (category, n)
    total = Counter(splits.resumes.values())
    for name, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        assert abs(total[name] / total.total() - share) < 0.05


def test_order_does_not_matter_and_the_seed_does(corpus, splits):
    resumes, jobs, pairs = corpus
    again = make_splits(resumes[::-1], jobs[::-1], pairs[::-1])
    assert again.resumes == splits.resumes and again.jobs == splits.jobs
    assert make_splits(resumes, jobs, pairs, SplitConfig(seed=1)).resumes != splits.resumes


def test_new_documents_move_few_old_ones(corpus, splits):
    resumes, jobs, pairs = corpus
    new = [Document(id=f"new{i}", kind="resume", category="CHEF", sections={"other": f"text {i}"})
           for i in range(4)]
    again = make_splits([*resumes, *new], jobs, pairs)
    moved = sum(again.resumes[d.id] != splits.resumes[d.id] for d in resumes)
    assert moved <= 0.03 * len(resumes)


def test_to_json_and_back(corpus, splits):
    again = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    assert again == splits
    with pytest.raises(ValueError, match="give the table of pairs"):
        again.pairs("train")
    assert len(again.pairs("validation", corpus[2])) == len(splits.pairs("validation"))
    with pytest.raises(ValueError, match="split must be one of"):
        splits.pairs("dev")


def test_small_categories_are_pooled():
    resumes = [Document(id=f"r{i}", kind="resume", category=f"c{i % 50}",
                        sections={"other": f"number {i}"}) for i in range(100)]
    n = Counter(make_splits(resumes, []).resumes.values())
    assert n == {"train": 80, "validation": 10, "test": 10}


def test_shares_of_zero_and_one():
    resumes = [Document(id=f"r{i}", kind="resume", sections={"other": f"number {i}"})
               for i in range(20)]
    config = SplitConfig(train=0.75, validation=0.25, test=0)
    assert Counter(make_splits(resumes, [], None, config).resumes.values()) == {
        "train": 15, "validation": 5}
    alone = make_splits(resumes, [], None, SplitConfig(train=1, validation=0, test=0))
    assert set(alone.resumes.values()) == {"train"}


def test_offspring_of_an_absent_original_stay_together():
    docs = [Document(id=f"x~eda{i}", kind="resume", source="eda:x", sections={"other": f"{i} text"})
            for i in range(3)]
    assert len(set(group_documents(docs).values())) == 1
    assert origins(docs[0]) == [("resume", "x"), ("resume", "x")]
    several = Document(id="j", kind="job", source="reference-job:a|b", sections={"about": "text"})
    assert origins(several) == [("resume", "a"), ("resume", "b")] and is_generated(several)
    assert not is_generated(Document(id="r", kind="resume", source="Resume.csv#3"))
    assert origins(Document(id="p", kind="job", source="profile:11-1011.00")) == []


@pytest.mark.parametrize(("value", "message"), [
    (dict(train=0.5), "must add up to 1, got 0.7"),
    (dict(train=0, validation=0.5, test=0.5), "train must be above 0"),
    (dict(train=1.1, validation=-0.1, test=0), "at least 0"),
    (dict(near_duplicate=1.5), "near_duplicate must be above 0"),
    (dict(min_stratum=0), "min_stratum must be at least 1"),
])
def test_config_says_what_is_wrong(value, message):
    with pytest.raises(ValueError, match=message):
        SplitConfig(**value)


def test_bad_corpora_are_a_sentence():
    with pytest.raises(ValueError, match="no resume to split"):
        make_splits([], [])
    twice = [Document(id="a", kind="resume", sections={"other": "x"})] * 2
    with pytest.raises(ValueError, match="'a' occurs more often"):
        make_splits(twice, [])
