"""The command line as a person meets it: in its own process, with good files and bad ones."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import save_model
from typer.testing import CliRunner

from resume_contrastive.cli import app, apply_settings, demo_config
from resume_contrastive.export import seal
from resume_contrastive.scorer import ContrastiveScorer

VERBS = (
    "prepare",
    "train",
    "mine",
    "evaluate",
    "compare",
    "export",
    "onnx",
    "score",
    "rank",
    "rank-jobs",
    "leaks",
    "run",
    "demo",
)
COMMAND = Path(sys.executable).parent / "resume-contrastive"


def call(*arguments, **environment):
    "The command in a process of its own"
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100", **environment},
    )


def invoke(*arguments):
    "The command in this process"
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    "An exported model on a tiny encoder"
    return save_model(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def folder(tmp_path, sample):
    "Good files of three kinds, and three that can't be read"
    folder = tmp_path / "resumes"
    folder.mkdir()
    for name in ("resume-089.pdf", "resume-130.docx"):
        shutil.copy(sample / "documents" / name, folder)
    (folder / "plain.txt").write_text("Head Chef\nSkills\nrice and sauce")
    (folder / "broken.pdf").write_bytes((folder / "resume-089.pdf").read_bytes()[:200])
    (folder / "empty.docx").write_bytes(b"")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    return folder


# ---------------------------------------------------------------- help


def test_help_names_every_verb_and_loads_nothing_heavy():
    out = call("--help")
    assert out.returncode == 0 and not out.stderr
    for verb in VERBS:
        assert f" {verb} " in out.stdout
    assert call("-h").stdout == out.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example(verb):
    out = invoke(verb, "--help")
    assert out.exit_code == 0 and f"Example: resume-contrastive {verb}" in " ".join(
        out.stdout.split()
    )
    assert "--json" in out.stdout


def test_usage_errors_leave_with_two():
    for arguments in (
        (),
        ("rank",),
        ("no-such-verb",),
        ("rank", "a", "b", "--no-such-option"),
        ("rank", "a", "b", "--top", "many"),
    ):
        assert invoke(*arguments).exit_code == 2, arguments


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed_and_complete(shell):
    out = call(_RESUME_CONTRASTIVE_COMPLETE=f"source_{shell}")
    assert out.returncode == 0 and "_RESUME_CONTRASTIVE_COMPLETE" in out.stdout
    if shell == "bash":
        found = call(
            _RESUME_CONTRASTIVE_COMPLETE="complete_bash",
            COMP_WORDS="resume-contrastive ra",
            COMP_CWORD="1",
        ).stdout.split()
        assert found == ["rank", "rank-jobs"]


# ---------------------------------------------------------------- score and rank


def test_json_is_all_there_is_on_standard_output(model, sample, folder):
    job = sample / "documents" / "job.txt"
    out = call("rank", job, folder, "-m", model, "--json")
    assert out.returncode == 0, out.stderr
    found = json.loads(out.stdout)
    assert {"model", "ranking", "unreadable"} < set(found) and found["model"] == str(model)
    assert sorted(r["id"] for r in found["ranking"]) == [
        "plain.txt",
        "resume-089.pdf",
        "resume-130.docx",
    ]
    assert [r["path"] for r in found["unreadable"]] == ["broken.pdf", "empty.docx", "picture.png"]
    scores = [r["score"] for r in found["ranking"]]
    assert scores == sorted(scores, reverse=True) and [r["rank"] for r in found["ranking"]] == [
        1,
        2,
        3,
    ]


def test_the_table_shows_the_ranking_and_what_was_not_read(model, sample, folder):
    out = invoke("rank", sample / "documents" / "job.txt", folder, "-m", model, "--top", 2)
    assert out.exit_code == 0 and "3 documents, model" in out.stdout
    assert "not read: empty.docx: the file is empty" in out.stderr
    assert (
        "Traceback" not in out.output
        and out.stdout.count("resume-") + out.stdout.count("plain") == 2
    )


def test_csv_holds_the_ranking(model, sample, folder, tmp_path):
    path = tmp_path / "new" / "ranking.csv"
    out = invoke(
        "rank", sample / "documents" / "job.txt", folder, "-m", model, "--csv", path, "--json"
    )
    rows = list(csv.DictReader(path.open(newline="", encoding="utf-8")))
    want = json.loads(out.stdout)["ranking"]
    columns = ("rank", "id", "score", "title")
    assert [[str(r[k]) for k in columns] for r in want] == [[r[k] for k in columns] for r in rows]
    assert [p.name for p in path.parent.iterdir()] == ["ranking.csv"]


def test_a_table_of_resumes_and_jobs_for_a_resume(model, tmp_path, sample):
    (tmp_path / "r.csv").write_text(
        'ID;Resume_str\n7;"Cook\nSkills\nrice"\n8;\n9;"Nurse\nSkills\nteam"\n'
    )
    job = sample / "documents" / "job.txt"
    found = json.loads(invoke("rank", job, tmp_path / "r.csv", "-m", model, "--json").stdout)
    assert {r["id"]: r["title"] for r in found["ranking"]} == {"7": "Cook", "9": "Nurse"}
    assert found["unreadable"] == [{"row": "r.csv#1", "reason": "no text in it"}]
    (tmp_path / "j").mkdir()
    shutil.copy(job, tmp_path / "j" / "a.txt")
    found = json.loads(
        invoke(
            "rank-jobs",
            sample / "documents" / "resume-089.pdf",
            tmp_path / "j",
            "-m",
            model,
            "--json",
        ).stdout
    )
    assert [r["id"] for r in found["ranking"]] == ["a.txt"]


def test_score_prints_one_number_and_explains(model, sample):
    pair = sample / "documents" / "resume-089.pdf", sample / "documents" / "job.txt"
    plain = invoke("score", *pair, "-m", model)
    number = json.loads(invoke("score", *pair, "-m", model, "--json").stdout)
    assert plain.stdout == f"{number['score']:.1f}\n" and set(number) == {"score"}
    why = json.loads(invoke("score", *pair, "-m", model, "--explain", "--json").stdout)
    assert why["score"] == round(number["score"], 2) and {"sections", "matched", "missing"} <= set(
        why
    )
    lines = invoke("score", *pair, "-m", model, "--explain").stdout.splitlines()
    assert lines[0] == f"score {why['score']:.1f}"
    names = [x.split(":")[0] for x in lines]
    assert {"matched", "implied", "missing", "missing required"} < set(names)
    assert any(n.endswith(("[required]", "[preferred]")) for n in names)


def test_an_explanation_is_json_when_nothing_is_asked_for(model, sample, tmp_path):
    (tmp_path / "job.txt").write_text("We are nice\nand we like people")
    out = invoke(
        "score",
        sample / "documents" / "resume-089.pdf",
        tmp_path / "job.txt",
        "-m",
        model,
        "--explain",
        "--json",
    )

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    json.loads(out.stdout, parse_constant=refuse)


# ---------------------------------------------------------------- errors


def test_errors_are_one_sentence_on_both_streams(tmp_path, model, sample):
    job = sample / "documents" / "job.txt"
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.pdf").write_bytes(b"no pdf")
    (tmp_path / "none").mkdir()
    for name in ("file", "a.xyz"):
        (tmp_path / name).write_text("x")
    cases = {
        "does not exist": ("rank", tmp_path / "no.txt", tmp_path, "-m", model),
        "holds no readable resume: not a readable PDF": (
            "rank",
            job,
            tmp_path / "bad",
            "-m",
            model,
        ),
        "holds no readable resume: it has no records": (
            "rank",
            job,
            tmp_path / "none",
            "-m",
            model,
        ),
        "files of type '.xyz' are not read": ("score", tmp_path / "a.xyz", job, "-m", model),
        "is a file. Name a folder": ("train", tmp_path / "file"),
        "needs NAME=VALUE, got 'lr'": ("train", tmp_path / "x", "--set", "lr"),
        "temperature must be > 0": ("train", tmp_path / "x", "--set", "train.temperature=0"),
        "There is no model in": ("score", job, job, "-m", tmp_path / "nowhere"),
    }
    for sentence, arguments in cases.items():
        out = invoke(*arguments, "--json")
        assert out.exit_code == 1, (sentence, out.output)
        error = json.loads(out.stdout)["error"]
        assert sentence in error and "\n" not in error, (sentence, error)
        assert out.stderr.strip().startswith("error ") and "Traceback" not in out.stderr
        plain = invoke(*arguments)
        assert plain.exit_code == 1 and not plain.stdout
    assert not (tmp_path / "x").exists()


def test_an_error_in_a_process_has_its_exit_code_and_no_traceback(tmp_path):
    out = call("rank", tmp_path / "no.txt", tmp_path)
    assert (out.returncode, out.stdout) == (1, "") and len(out.stderr.splitlines()) == 1




@pytest.mark.parametrize("name", ["no[/b].txt", "no[draft].txt"])
def test_brackets_in_a_name_survive_the_error(tmp_path, name):
    out = invoke("rank", tmp_path / name, tmp_path)
    assert out.exit_code == 1 and name in out.stderr and out.exception.__class__ is SystemExit


@pytest.mark.parametrize("name", ["a[draft].txt", "a[b].txt"])
def test_brackets_in_a_name_survive_the_table(tmp_path, model, sample, name):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / name).write_text("Head Chef\nSkills\nrice")
    out = invoke("rank", sample / "documents" / "job.txt", tmp_path / "r", "-m", model)
    assert out.exit_code == 0 and name in out.stdout


def test_brackets_in_a_title_do_not_stop_the_table(tmp_path, model, sample):
    (tmp_path / "r.csv").write_text("id,text,title\n1,rice,Cook [/nights]\n")
    out = invoke("rank", sample / "documents" / "job.txt", tmp_path / "r.csv", "-m", model)
    assert out.exit_code == 0 and "[/nights]" in out.stdout


def test_a_negative_top_is_refused(model, sample, folder):
    assert invoke(
        "rank", sample / "documents" / "job.txt", folder, "-m", model, "--top", -1
    ).exit_code


# ---------------------------------------------------------------- settings


def test_settings_reach_their_place_with_their_types():
    config = demo_config()
    changed = apply_settings(
        config,
        [
            "train.lr=1e-2",
            "encoder.merge=attention",
            "rounds=2",
            "data.pairs.min_role=0.5",
            " seed =7",
        ],
    )
    assert (changed.train.lr, changed.encoder.merge, changed.rounds, changed.seed) == (
        0.01,
        "attention",
        2,
        7,
    )
    assert changed.data.pairs.min_role == 0.5 and changed.data.splits == config.data.splits
    assert changed.train.epochs == config.train.epochs and apply_settings(config, None) == config


@pytest.mark.parametrize(
    "item", ["train", "train=3", "train.lr.x=1", "nothing=1", "train.=1", "=1"]
)
def test_settings_that_do_not_exist_are_refused(item):
    with pytest.raises(ValueError):
        apply_settings(demo_config(), [item])


@pytest.mark.parametrize(
    "item",
    ["train.lr=fast", "train.epochs=2.5", "seed=null", "encoder.window=[1]"],
)
def test_settings_of_the_wrong_type_are_refused(item):
    with pytest.raises(ValueError):
        apply_settings(demo_config(), [item])


def test_strict_stops_at_the_first_unreadable_file(model, sample, folder):
    job = sample / "documents" / "job.txt"
    out = invoke("rank", job, folder, "--model", model, "--strict", "--json")
    assert out.exit_code == 1 and "broken.pdf" in json.loads(out.stdout)["error"]
    assert invoke("rank", job, folder, "--model", model, "--json").exit_code == 0


def test_a_dry_run_says_the_cost_and_leaves_nothing(tmp_path, sample):
    tables = ["--resumes", sample / "resumes.csv", "--jobs", sample / "jobs.csv"]
    names = ["--set", 'data.generate=["hyre"]', "--set", "data.llm=m", "--dry-run", "--json"]
    out = invoke("prepare", *tables, "--out", tmp_path / "run", "--test-only",
                 sample / "rankings" / "CV", "--profiles", sample / "onet", *names)
    bill = json.loads(out.stdout)
    assert out.exit_code == 0 and bill["requests"] > 100 and bill["tokens"] > bill["requests"]
    assert not (tmp_path / "answers").exists() and not (tmp_path / "run" / "data").exists()


# ---------------------------------------------------------------- graphs


def test_graphs_are_added_to_a_model_and_used_from_then_on(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    texts = "Head Chef\nSkills\nrice", "Chef wanted"
    before = ContrastiveScorer(folder).load()
    result = call("onnx", folder, "--json")
    assert result.returncode == 0, result.stdout
    report = json.loads(result.stdout)
    assert report["fp32"]["largest_difference"] < 1e-4 and not report["int8"]["offered"]
    after = ContrastiveScorer(folder).load()
    assert (before.backend, after.backend) == ("torch", "onnx")
    assert abs(before.score(*texts) - after.score(*texts)) < 0.01
    with pytest.raises(ValueError, match="does not offer int8: no benchmark was given"):
        ContrastiveScorer(folder, backend="onnx-int8").load()


def test_a_graph_that_is_not_torchs_twin_is_not_chosen(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"x")
    for gap in (None, 0.01):
        (folder / "onnx" / "report.json").write_text(
            json.dumps({"fp32": {"largest_difference": gap}})
        )
        seal(folder)
        assert ContrastiveScorer(folder).load().backend == "torch"


def test_graphs_without_a_model_start_from_the_default_one(model, tmp_path, monkeypatch):
    made = call("onnx", tmp_path / "new", "--json", RESUME_CONTRASTIVE_MODEL=str(model))
    assert made.returncode == 0, made.stdout
    assert (tmp_path / "new" / "onnx" / "model.onnx").is_file()
    monkeypatch.setenv("RESUME_CONTRASTIVE_MODEL", "zero-shot")
    result = invoke("onnx", tmp_path / "other", "--json")
    assert result.exit_code == 1 and "export first" in json.loads(result.stdout)["error"]
    assert not (tmp_path / "other").exists()


def test_graphs_that_fail_leave_no_model_behind(model, tmp_path, monkeypatch):
    """In models/contrastive, it would be the default model from then on."""
    monkeypatch.setenv("RESUME_CONTRASTIVE_MODEL", str(model))
    result = invoke("onnx", tmp_path / "new", "--run", tmp_path / "none", "--json")
    assert result.exit_code == 1 and "no data set" in json.loads(result.stdout)["error"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("report", [[], {}, {"fp32": None}, {"fp32": {"largest_difference": "x"}}])
def test_a_report_without_a_figure_means_torch(model, tmp_path, report):
    folder = shutil.copytree(model, tmp_path / "model")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"x")
    (folder / "onnx" / "report.json").write_text(json.dumps(report))
    seal(folder)
    assert ContrastiveScorer(folder).load().backend == "torch"


def test_a_broken_onnxruntime_means_torch(model, tmp_path, monkeypatch):
    folder = shutil.copytree(model, tmp_path / "model")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"x")
    (folder / "onnx" / "report.json").write_text('{"fp32": {"largest_difference": 0.0}}')
    seal(folder)
    broken = tmp_path / "lib" / "onnxruntime"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libx.so: cannot open')")
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    assert ContrastiveScorer(folder).load().backend == "torch"
