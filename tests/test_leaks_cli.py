"""`resume-contrastive leaks`: what two sets share, in ids and numbers; exit codes as diff's."""

import csv
import importlib
import json
import sys
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from resume_contrastive.cli import app
from resume_contrastive.dataset import DataConfig, build_dataset, write_dataset
from resume_contrastive.documents import read_table
from resume_contrastive.pairs import PairConfig
from resume_contrastive.splits import SplitConfig

DATA = DataConfig(pairs=PairConfig(min_role=0.5),
                  splits=SplitConfig(train=0.6, validation=0.2, test=0.2))
SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def leaks(*arguments):
    "The command in this process"
    return CliRunner().invoke(app, ["leaks", *map(str, arguments)])


@pytest.fixture(scope="module")
def rows(sample):
    with (sample / "resumes.csv").open(newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def table(path, rows):
    with path.open("w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, fieldnames=["ID", "Resume_str", "Category"])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def sets(tmp_path_factory, rows):
    "A table, a folder of files that holds two of its texts in disguise, and a table of others"
    base = tmp_path_factory.mktemp("sets")
    sys.path.insert(0, str(SCRIPTS))
    plants = importlib.import_module("plants")
    sys.path.remove(str(SCRIPTS))
    words = [w for r in rows[100:] for w in r["Resume_str"].split()]
    folder = base / "files"
    folder.mkdir()
    for n, change in ((3, plants.wrapped), (7, plants.reworded)):
        text = change(rows[n]["Resume_str"], Random(n), words)
        (folder / f"found[{n}].txt").write_text(text, encoding="utf-8")
    (folder / "stranger.txt").write_text(rows[200]["Resume_str"], encoding="utf-8")
    return table(base / "a.csv", rows[:26]), folder, table(base / "b.csv", rows[52:70])


def test_leaks_are_listed_and_the_exit_code_is_one(sets, rows):
    a, folder, _ = sets
    out = leaks(a, folder, "--json")
    found = json.loads(out.stdout)
    assert out.exit_code == 1 and not out.stderr
    assert {(r["a_id"], r["b_id"], r["how"]) for r in found["leaks"]} == {
        (rows[3]["ID"], "found[3].txt", "excerpt"), (rows[7]["ID"], "found[7].txt", "reworded")}
    assert all(0.3 <= r["containment"] <= 1 for r in found["leaks"])
    assert (found["a"], found["b"], found["pairs"], found["a_leaking"]) == (26, 3, 2, 2)
    shown = leaks(a, folder)
    assert shown.exit_code == 1 and "2 of 26 documents of A share text with 2 of 3 of B" in (
        shown.stdout)
    assert "found[3].txt" in shown.stdout and rows[3]["ID"] in shown.stdout
    assert leaks(a, folder, "--top", 1).stdout.count("found[") == 1


def test_no_text_is_printed(sets, rows):
    words = {w for w in rows[3]["Resume_str"].split() if len(w) > 9}
    for arguments in (sets[:2], (*sets[:2], "--json")):
        shown = leaks(*arguments).output
        assert shown and not [w for w in words if w in shown]


def test_strangers_leave_with_zero(sets):
    out = leaks(sets[0], sets[2])
    assert out.exit_code == 0 and out.stdout == (
        "0 of 26 documents of A share text with 0 of 18 of B (0 pairs)\n")
    assert json.loads(leaks(sets[0], sets[2], "--json").stdout)["leaks"] == []
    assert leaks(sets[0], sets[1], "--threshold", 0.9).exit_code == 1  # the wrapped one


def test_jobs_too(sample):
    out = leaks(sample / "jobs.csv", sample / "jobs.csv", "--kind", "job", "--json")
    found = json.loads(out.stdout)
    same = [r for r in found["leaks"] if r["a_id"] == r["b_id"]]
    assert out.exit_code == 1 and len(same) == found["a"] == found["b"]


def test_the_splits_of_a_prepared_set_share_nothing(sample, tmp_path):
    resumes, jobs = (read_table(sample / f"{k}s.csv", k)[0][::3] for k in ("resume", "job"))
    *made, facts = build_dataset(resumes, jobs, DATA)
    write_dataset(tmp_path / "run" / "data", *made, facts)
    for kind in ("resume", "job"):
        out = leaks(f"{tmp_path}/run:train", f"{tmp_path}/run:test", "--kind", kind,
                    "--threshold", 0.5, "--json")  # without its skills a text is nearer to others
        found = json.loads(out.stdout)
        assert out.exit_code == 0 and found["a"] > found["b"] > 0
    whole = json.loads(leaks(tmp_path / "run", f"{tmp_path}/run/data:test", "--json").stdout)
    assert whole["a"] > found["a"] and whole["a_leaking"] >= whole["b"]


def test_bad_input_is_one_sentence_and_two(sets, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "columns.csv").write_text("a,b\n1,2\n")
    cases = {
        "does not exist": (tmp_path / "none.csv", sets[0]),
        "holds no readable resume": (sets[0], tmp_path / "empty"),
        "has no column of resume text": (tmp_path / "columns.csv", sets[0]),
        "--kind must be 'resume' or 'job', got 'letter'": (*sets[:2], "--kind", "letter"),
        "threshold must be above 0 and at most 1, got 0": (*sets[:2], "--threshold", 0),
        "is no prepared data set, so it has no split 'train'": (f"{sets[1]}:train", sets[0]),
    }
    for sentence, arguments in cases.items():
        out = leaks(*arguments, "--json")
        assert out.exit_code == 2, (sentence, out.output)
        error = json.loads(out.stdout)["error"]
        assert sentence in error and "\n" not in error
        assert out.stderr.startswith("error ") and "Traceback" not in out.output
    assert leaks(sets[0]).exit_code == 2


def test_help_has_an_example_and_the_exit_codes():
    out = " ".join(leaks("--help").stdout.split())
    assert "Example: resume-contrastive leaks" in out and "1 leaks found" in out
