"""Files are whole or absent, hashes follow content, and a stage counts only when it ended."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resume_contrastive.store import (
    Run,
    atomic_path,
    config_from,
    finished,
    hash_file,
    hash_value,
    peak_memory_mb,
    plain,
    read_json,
    write_json,
    write_text,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3),
    max_leaves=8,
)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


# ---------------------------------------------------------------- atomic writes


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for content in ("one", "two"):
        with atomic_path(tmp_path / "model") as tmp:
            tmp.mkdir()
            (tmp / content).write_text(content)
    assert names(tmp_path) == ["model"] and names(tmp_path / "model") == ["two"]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "model") as tmp:
        tmp.mkdir()
        (tmp / "half").write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["model"] and names(tmp_path / "model") == ["old"]


def test_missing_parents_are_made_and_the_ending_is_kept(tmp_path):
    with atomic_path(tmp_path / "a" / "b" / "c.tar.gz") as tmp:
        assert tmp.suffix == ".gz" and tmp.parent == tmp_path / "a" / "b"
        tmp.write_text("x")
    assert names(tmp_path / "a" / "b") == ["c.tar.gz"]


def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"n": 1})
    code = (
        "import sys, time; from resume_contrastive.store import atomic_path\n"
        f"with atomic_path({str(path)!r}) as tmp:\n"
        "    tmp.write_text('half'); print('writing', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "writing\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert read_json(path) == {"n": 1}
    write_json(path, {"n": 2})
    assert read_json(path) == {"n": 2}


def test_a_block_that_writes_nothing_is_an_error_and_leaves_no_trace(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


# ---------------------------------------------------------------- values


@given(VALUES)
def test_json_round_trip_and_equal_bytes(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("j")
    write_json(folder / "a.json", value)
    assert read_json(folder / "a.json") == plain(value)
    write_json(folder / "b.json", read_json(folder / "a.json"))
    assert (folder / "a.json").read_bytes() == (folder / "b.json").read_bytes()


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=5))
def test_the_hash_does_not_see_the_order_of_keys(value):
    assert hash_value(value) == hash_value(dict(reversed(value.items())))


def test_the_hash_sees_types_values_and_order_of_lists():
    values = [1, 1.5, "1", [1, 2], [2, 1], {"a": 1}, {"a": "1"}, None, True, "", [], [[]], {}]
    assert len({hash_value(v) for v in values}) == len(values)


def test_hash_is_the_same_in_every_process():
    code = (
        "from resume_contrastive.store import hash_value\n"
        "print(hash_value({'a': {'x', 'y', 'z'}, 'b': (1, 2.5, None)}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in "01"
    }
    assert found == {hash_value({"a": ["x", "y", "z"], "b": [1, 2.5, None]}) + "\n"}


def test_plain_values():
    @dataclasses.dataclass
    class Point:
        at: tuple = (1, np.float32(0.5))

    assert plain(
        {1: Point(), "n": np.arange(3), "x": float("inf"), "y": np.array([np.nan]), "s": {"b", "a"}}
    ) == {"1": {"at": [1, 0.5]}, "n": [0, 1, 2], "x": None, "y": [None], "s": ["a", "b"]}
    assert json.dumps(plain(np.float64("nan"))) == "null"


def test_hash_of_a_folder_sees_names_contents_and_depth(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    seen = [hash_file(tmp_path)]
    (tmp_path / "a" / "x").write_text("2")
    seen.append(hash_file(tmp_path))
    (tmp_path / "a" / "x").rename(tmp_path / "x")
    seen.append(hash_file(tmp_path))
    (tmp_path / "y").write_text("")
    seen.append(hash_file(tmp_path))
    assert len(set(seen)) == 4
    (tmp_path / "y").unlink()
    assert hash_file(tmp_path) == seen[2]


def test_settings_of_the_wrong_shape_are_a_sentence():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config:
        n: int = 1

    with pytest.raises(ValueError, match="Config needs named settings, got 3"):
        config_from(Config, 3)
    with pytest.raises(ValueError, match="unknown setting 'm' of Config"):
        config_from(Config, {"m": 1})


def test_read_json_names_the_file(tmp_path):
    for data in (b"", b"{", b"\xff\xfe\x00"):
        (tmp_path / "a.json").write_bytes(data)
        with pytest.raises(ValueError, match=r"a\.json is not a JSON file"):
            read_json(tmp_path / "a.json")


def test_peak_memory_never_falls():
    before = peak_memory_mb()
    block = bytearray(8 * 2**20)
    del block
    assert peak_memory_mb() >= before > 1


# ---------------------------------------------------------------- stages


def test_each_key_is_done_once_and_the_record_is_kept(tmp_path):
    calls = []
    for key in ("a", "a", "b", "a"):
        run = Run(tmp_path / "run")
        record = run.stage("s", key, lambda key=key: calls.append(key) or {"n": np.int64(3)})
        assert record["n"] == 3 and record["seconds"] >= 0 and run.records["s"] == record
    assert calls == ["a", "b", "a"]  # the record holds one key, the last
    assert finished(tmp_path / "run", "s", "a") == read_json(tmp_path / "run/stages/s.json")
    assert finished(tmp_path / "run", "s", "b") is None
    assert finished(tmp_path / "none", "s", "a") is None


def test_a_stage_that_stops_voids_its_old_record(tmp_path):
    run = Run(tmp_path)
    run.stage("s", 1, lambda: {})

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.stage("s", 2, stop)
    assert finished(tmp_path, "s", 1) is None and finished(tmp_path, "s", 2) is None


def test_a_stage_that_is_killed_leaves_no_record(tmp_path):
    Run(tmp_path).stage("s", 1, lambda: {})
    code = (
        "import time; from resume_contrastive.store import Run\n"
        f"Run({str(tmp_path)!r}).stage('s', 2, lambda: print('in', flush=True) or "
        "time.sleep(60))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "in\n"
    time.sleep(0.05)
    child.kill()
    child.wait()
    child.stdout.close()
    assert not (tmp_path / "stages" / "s.json").exists()


def test_a_stage_is_done_again_when_an_output_is_gone(tmp_path):
    run, calls = Run(tmp_path), []

    def work():
        calls.append(1)
        write_text(run / "out", "x")

    for _ in range(2):
        run.stage("s", 1, work, outputs=("out",))
    (tmp_path / "out").unlink()
    run.stage("s", 1, work, outputs=("out",))
    assert len(calls) == 2


@pytest.mark.parametrize("content", ["[]", "null", "3"])
def test_a_record_of_another_shape_is_not_believed(tmp_path, content):
    write_text(tmp_path / "stages" / "s.json", content)
    assert finished(tmp_path, "s", 1) is None
