"""The list of the study's stages: what is done again, and what is not."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def study(monkeypatch, tmp_path):
    """The script as a module, in an empty folder, with two stages that write a file each."""
    found = importlib.util.spec_from_file_location("experiments", ROOT / "scripts/experiments.py")
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "experiments", module)
    found.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/results").mkdir(parents=True)
    code = ("import pathlib, sys; p = pathlib.Path('data/results') / sys.argv[1]; "
            "p.write_text(p.read_text() + 'x' if p.exists() else 'x'); sys.exit(int(sys.argv[2]))")
    stages = [module.Stage(name=n, what=n, minutes=1, needs_data=False, records=(f"{n}.json",),
                           command=(sys.executable, "-c", code, f"{n}.json", "0"))
              for n in ("first", "second")]
    module.real_stages, module.STAGES = module.STAGES, tuple(stages)
    monkeypatch.setattr(module, "DATA", "")
    monkeypatch.setattr(sys, "argv", ["experiments"])
    return module


def made(name):
    """How often a stage ran."""
    path = Path("data/results", f"{name}.json")
    return len(path.read_text()) if path.exists() else 0


def test_what_is_done_is_not_done_again(study):
    assert study.main() == 0 and study.main() == 0
    assert (made("first"), made("second")) == (1, 1)


def test_a_missing_record_or_another_command_is_done_again(study):
    study.main()
    Path("data/results/first.json").unlink()
    study.STAGES = (study.STAGES[0],
                    replace(study.STAGES[1], command=(*study.STAGES[1].command, "more")))
    study.main()
    assert (made("first"), made("second")) == (1, 2)


def test_other_code_is_done_again_unless_it_is_kept(study, monkeypatch):
    study.main()
    monkeypatch.setattr(study, "code_hash", lambda: "another")
    monkeypatch.setattr(sys, "argv", ["experiments", "--keep"])
    study.main()
    assert made("first") == 1
    monkeypatch.setattr(sys, "argv", ["experiments"])
    study.main()
    assert made("first") == 2


def test_a_failure_stops_the_study_and_the_next_call_goes_on_there(study, capsys):
    second = study.STAGES[1]
    study.STAGES = (study.STAGES[0], replace(second, command=(*second.command[:-1], "3")))
    assert study.main() == 3
    assert "second stopped with status 3" in capsys.readouterr().out
    study.STAGES = (study.STAGES[0], second)
    assert study.main() == 0
    assert (made("first"), made("second")) == (1, 2)


def test_without_the_real_data_it_says_what_to_set(study, capsys):
    study.STAGES = (replace(study.STAGES[0], needs_data=True),)
    assert study.main() == 1
    assert "RESUME_CONTRASTIVE_DATA" in capsys.readouterr().out and not made("first")


def test_listing_does_nothing(study, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["experiments", "--list"])
    assert study.main() == 0
    assert "2 of 2 stages" in capsys.readouterr().out and not made("first")


def test_every_stage_names_a_script_and_records_that_exist(study):
    names = [s.name for s in study.real_stages]
    assert len(set(names)) == len(names)
    for s in study.real_stages:
        for part in s.command:
            if part.endswith(".py"):
                assert (ROOT / part).is_file(), part
        for r in s.records:
            assert json.loads((ROOT / "data/results" / r).read_text()), r
