"""Rounds: seeds are reported, mining stops when it gains nothing, the best round is kept."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from resume_contrastive import rounds
from resume_contrastive.cli import apply_settings
from resume_contrastive.pipeline import PipelineConfig
from resume_contrastive.store import write_json


class FakeRun:
    "A run folder whose stages do their work at once"

    def __init__(self, folder, **config):
        self.folder = self.run = folder
        self.config, self.data = PipelineConfig(**config), None

    def stage(self, name, key, work, outputs=()):
        record = work()
        write_json(self.folder / "stages" / f"{name}.json", record)
        return record

    def key_of(self, stage):
        return stage


@pytest.fixture
def fake(tmp_path, monkeypatch):
    source = SimpleNamespace(hard_resumes=None, hard_jobs=None)
    monkeypatch.setattr(rounds, "role_source", lambda run: (source, [], [], np.zeros((0, 2), int)))
    monkeypatch.setattr(rounds, "wrong_category", lambda *a: None)
    monkeypatch.setattr(rounds, "mine_round", lambda run, number, *a: {"mined": number})

    def start(selects, **config):
        run, left = FakeRun(tmp_path, **config), list(selects)

        def fit(run, number, role, *, seed=None, folder=None):
            place = run.folder / (folder or f"rounds/{number}")
            (place / "model").mkdir(parents=True)
            (place / "model" / "round.txt").write_text(str(number))
            (place / "metrics.jsonl").write_text(json.dumps({"epoch": 0}) + "\n")
            seed = run.config.seed if seed is None else seed
            select = left.pop(0)
            return {"round": number, "seed": seed, "select": select, "best": {"role": select}}

        monkeypatch.setattr(rounds, "fit", fit)
        return run

    return start


def test_rounds_go_on_while_validation_gains_and_the_best_is_kept(fake):
    run = fake([0.5, 0.6, 0.7, 0.65, 0.9], rounds=5)
    rounds.train_stage(run)
    record = rounds.mine_stage(run)
    assert [r["round"] for r in record["rounds"]] == [1, 2, 3] and record["best_round"] == 2
    assert (run.folder / "best" / "round.txt").read_text() == "2"
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(x)["round"] for x in lines] == [0, 1, 2, 3]


def test_a_round_that_gains_nothing_is_not_used(fake):
    run = fake([0.5, 0.5], rounds=3)
    rounds.train_stage(run)
    assert rounds.mine_stage(run)["best_round"] == 0


def test_seeds_are_reported_and_the_first_goes_on(fake):
    run = fake([0.4, 0.6, 0.5], seeds=3, seed=7)
    record = rounds.train_stage(run)
    assert record["select"] == 0.4 and record["seeds"] == [7, 8, 9]  # not the luckiest
    assert record["mean"]["role"] == pytest.approx(0.5)
    assert record["sd"]["role"] == pytest.approx(0.1)


def test_one_seed_reports_no_spread(fake):
    assert "sd" not in rounds.train_stage(fake([0.4]))


def test_a_preset_and_seeds_are_settings_of_the_command_line():
    config = apply_settings(PipelineConfig(), ["preset=last-n", "train.epochs=2", "seeds=3"])
    assert (config.train.trainable, config.train.epochs, config.seeds) == ("last-2", 2, 3)
    with pytest.raises(ValueError, match="preset must be one of head, last-n, full, got 'big'"):
        apply_settings(PipelineConfig(), ["preset=big"])


@pytest.mark.parametrize("change, message", [
    (dict(seeds=0), "seeds must be >= 1, got 0"),
    (dict(triple_weight=-1.0), "triple_weight must be >= 0, got -1.0"),
])
def test_settings_say_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        PipelineConfig(**change)
