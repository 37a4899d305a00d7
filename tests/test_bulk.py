"""Encoding in bulk: the same vectors by every way, and a stop costs one block."""

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resume_contrastive.bulk import (
    blocks,
    check_rows,
    document_rows,
    encode_parquet,
    model_version,
    read_encoded,
    sql_filter,
    unit_vectors,
)
from resume_contrastive.documents import Document, ReadError, write_documents
from resume_contrastive.scorer import ContrastiveScorer

WORDS = "rice sauce bread fish python sql java excel audit secretword".split()


def people(n, kind="resume", start=0):
    section = "skills" if kind == "resume" else "requirements"
    rng = np.random.default_rng(start)
    return [
        Document(id=f"{kind}{i}", kind=kind, sections={section: " ".join(rng.choice(WORDS, 5))})
        for i in range(start, start + n)
    ]


def encode(documents):
    """Counts of words, of length 1."""
    x = np.array([[1 + d.text.split().count(w) for w in WORDS] for d in documents], np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def vectors(folder):
    table = pa.concat_tables(list(read_encoded(folder)[1]))
    return table["id"].to_pylist(), np.stack(table["vector"].to_numpy(zero_copy_only=False))


def test_parts_together_are_one_call_of_the_encoder(tmp_path):
    resumes, jobs = people(21), people(9, "job")
    write_documents(resumes, tmp_path / "in" / "a.parquet")
    write_documents(jobs, tmp_path / "in" / "b.parquet")
    moves = []
    report = encode_parquet(tmp_path / "in", tmp_path / "out", lambda: encode, model="m", block=8,
                            on_part=lambda a, b: moves.append((a, b)))  # fmt: skip
    ids, found = vectors(tmp_path / "out")
    assert ids == [d.id for d in resumes + jobs]
    assert np.array_equal(found, encode(resumes + jobs))
    assert report["parts"] == 5 and moves[-1] == (30, 30)
    for part in (tmp_path / "out").glob("*"):
        assert b"secretword" not in part.read_bytes()


def test_blocks_follow_row_groups_and_change_with_the_rows_and_the_model(tmp_path):
    path = tmp_path / "in.parquet"
    write_documents(people(20), path)
    pq.write_table(pq.read_table(path), path, row_group_size=6)
    plan = list(blocks(path, 4, "m"))
    places = [(b["group"], b["start"], b["rows"]) for b in plan]
    assert places[:3] == [(0, 0, 4), (0, 4, 2), (1, 0, 4)]
    assert sum(b["rows"] for b in plan) == 20
    assert len({b["part"] for b in plan}) == len(plan)
    assert not {b["part"] for b in plan} & {b["part"] for b in blocks(path, 4, "other")}


def test_a_killed_process_leaves_whole_parts_and_the_rest_is_encoded(tmp_path):
    write_documents(people(40), tmp_path / "in.parquet")
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(os.path.dirname(__file__))!r})
from test_bulk import encode
from resume_contrastive.bulk import encode_parquet
def make():
    def slow(documents, seen=[]):
        seen.append(1)
        if len(seen) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return encode(documents)
    return slow
source, out = {[str(tmp_path / "in.parquet"), str(tmp_path / "out")]!r}
encode_parquet(source, out, make, model="m", block=5)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 3
    (tmp_path / "out" / ".part-000003-x.99.tmp.parquet").write_bytes(b"half")
    again = dict(model="m", block=5)
    report = encode_parquet(tmp_path / "in.parquet", tmp_path / "out", lambda: encode, **again)
    assert report["encoded"] == 25
    assert np.array_equal(vectors(tmp_path / "out")[1], encode(people(40)))
    assert not list((tmp_path / "out").glob(".part*"))


CLUSTER = """
import json, os, sys
import numpy as np
sys.path.insert(0, os.environ["TESTS"])
import test_bulk
from resume_contrastive.bulk import encode_parquet

source, out = sys.argv[1:]
encode = test_bulk.encode

class Flaky:
    def __init__(self):
        self.failing = os.path.exists(out + ".fail")
    def __call__(self, documents):
        if self.failing and any(d.id == "resume30" for d in documents):
            raise OSError("secretword of a resume")
        return np.asarray(encode(documents))

def run():
    return encode_parquet(source, out, Flaky, model="m", block=5, workers=2, threads=0)
open(out + ".fail", "w").close()
try:
    run()
    said = "no error"
except RuntimeError as e:
    said = str(e)
first = len([n for n in os.listdir(out) if n.startswith("part-")])
os.unlink(out + ".fail")
report = run()
print(json.dumps({"said": said, "first": first, "encoded": report["encoded"]}))
"""


def test_two_ray_workers_give_the_same_and_continue_after_a_failure(tmp_path):
    pytest.importorskip("ray", reason="the extra `bulk` is not installed")
    write_documents(people(40), tmp_path / "in.parquet")
    tests = os.path.dirname(__file__)
    env = os.environ | {"TESTS": tests, "PYTHONPATH": os.pathsep.join([tests, *sys.path])}
    command = [sys.executable, "-c", CLUSTER, tmp_path / "in.parquet", tmp_path / "out"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    if "timed out during startup" in done.stderr:
        pytest.skip("Ray did not start in time on this machine")
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.strip().splitlines()[-1])
    assert "rows 30 to 34 of in.parquet can't be encoded (OSError)" in said["said"]
    assert "secretword" not in said["said"]
    assert said["first"] + said["encoded"] // 5 == 8 and said["encoded"] >= 5
    encode_parquet(tmp_path / "in.parquet", tmp_path / "here", lambda: encode, model="m", block=5)
    assert np.array_equal(vectors(tmp_path / "out")[1], vectors(tmp_path / "here")[1])
    assert vectors(tmp_path / "out")[0] == vectors(tmp_path / "here")[0]


@pytest.mark.parametrize("broken", ["text", "columns", "cut"])
def test_a_foreign_input_gives_a_sentence(tmp_path, broken):
    path = tmp_path / "in.parquet"
    write_documents(people(30), path)
    if broken == "text":
        path.write_text("id,text")
    elif broken == "columns":
        pq.write_table(pa.table({"id": ["a"]}), path)
    else:
        data = bytearray(path.read_bytes())
        data[4 : len(data) // 2] = b"\0" * (len(data) // 2 - 4)
        path.write_bytes(data)
    with pytest.raises(ReadError, match=r"in\.parquet"):
        encode_parquet(path, tmp_path / "out", lambda: encode, model="m")


def test_an_unfinished_or_incomplete_output_is_not_read(tmp_path):
    write_documents(people(12), tmp_path / "in.parquet")
    encode_parquet(tmp_path / "in.parquet", tmp_path / "out", lambda: encode, model="m", block=4)
    next((tmp_path / "out").glob("part-*")).unlink()
    with pytest.raises(ReadError, match="1 parts are missing"):
        read_encoded(tmp_path / "out")
    with pytest.raises(ValueError, match="workers and threads must be >= 0"):
        encode_parquet(tmp_path / "in.parquet", tmp_path / "out", "zero-shot", workers=-1)


def test_rows_hold_no_text_unless_asked(tmp_path):
    docs = people(3)
    rows = document_rows(docs, encode(docs))
    assert "sections" not in rows.column_names
    assert "sections" in document_rows(docs, encode(docs), text=True).column_names
    with pytest.raises(ValueError, match="must have length 1"):
        check_rows(document_rows(docs, np.full((3, 4), np.nan)))
    with pytest.raises(ValueError, match="missing or of another type: content"):
        check_rows(rows.drop_columns("content"))


def test_both_kinds_keep_their_order():
    docs = [*people(2), *people(2, "job"), *people(2, start=5)]
    assert np.array_equal(unit_vectors(encode, docs), encode(docs))


@pytest.mark.parametrize("value", ["'", "''", "\\'", "a' OR '1'='1", "'; DROP TABLE r; --", '"'])
def test_every_quote_is_doubled(value):
    inside = sql_filter({"category": value})[len("category IN ('") : -2]
    assert inside.replace("''", "").count("'") == 0 and inside.replace("''", "'") == value


def test_the_version_follows_the_weights(tmp_path):
    from test_index import small_model

    a, b = small_model(tmp_path / "a", 0), small_model(tmp_path / "b", 1)
    first = model_version(ContrastiveScorer(a))
    assert first == model_version(ContrastiveScorer(a)) != model_version(ContrastiveScorer(b))
