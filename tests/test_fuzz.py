"""5,000 broken files: one document or one reason each, nothing hangs, nothing is left behind."""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from resume_contrastive.documents import ReadError, read_folder, read_table
from resume_contrastive.formats import decode

BATCHES = 100  # of 50 files; all together take about a minute of CPU

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
fuzz_readers = pytest.importorskip("fuzz_readers")
LOOSE = dict(deadline=None, derandomize=True, database=None)
SLOW = LOOSE | dict(suppress_health_check=list(HealthCheck))


def test_five_thousand_broken_files(tmp_path, monkeypatch):
    scratch, watched = tmp_path / "scratch", tmp_path / "watched"
    scratch.mkdir()
    watched.mkdir()
    monkeypatch.setenv("TMPDIR", str(watched))
    monkeypatch.setattr(tempfile, "tempdir", str(watched))
    outcomes, open_files = Counter(), len(os.listdir("/proc/self/fd"))

    # each example is long, and the numbers name the files: there is nothing to make smaller
    @settings(max_examples=BATCHES, phases=[Phase.generate], **SLOW)
    @given(st.lists(st.integers(0, 2**40), min_size=50, max_size=50, unique=True))
    def batch(numbers):
        folder = Path(tempfile.mkdtemp(dir=scratch))
        found, longest = fuzz_readers.read_all(numbers, folder)
        assert found.total() == 50 and longest < 30, numbers
        assert not os.listdir(watched), "a temporary file was left"
        outcomes.update(found)

    batch()
    assert outcomes.total() == 50 * BATCHES
    assert not outcomes["took longer"] and not outcomes["its parser died"], outcomes
    assert min(outcomes["read"], outcomes["damaged"], outcomes["not a readable PDF"]) > 100, (
        outcomes
    )
    assert len(os.listdir("/proc/self/fd")) <= open_files + 1
    listing = subprocess.run(["ps", "-o", "args=", "--ppid", str(os.getpid())],
                             capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert "resume_contrastive.files" not in listing


@settings(max_examples=300, **LOOSE)
@given(
    st.binary(max_size=200), st.sampled_from(["csv", "jsonl"]), st.sampled_from(["resume", "job"])
)
def test_a_table_of_any_bytes(data, ending, kind):
    with tempfile.TemporaryDirectory() as tmp:
        path = Path(tmp) / f"a.{ending}"
        path.write_bytes(b"id,text\n" * (ending == "csv") + data)
        try:
            documents, rejects = read_table(path, kind)
        except ReadError as e:
            assert "\n" not in str(e)
        else:
            assert len({d.id for d in documents}) == len(documents)
            assert all(set(r) == {"row", "reason"} for r in rejects)


@settings(max_examples=300, **LOOSE)
@given(st.binary(max_size=200), st.sampled_from(["txt", "md", "json", "doc", ""]))
def test_a_file_of_any_bytes_is_a_document_or_a_row(data, ending):
    with tempfile.TemporaryDirectory() as tmp:
        (Path(tmp) / f"a.{ending}").write_bytes(data)
        documents, rejects = read_folder(tmp, "resume", workers=0)
        assert len(documents) + len(rejects) == 1
        assert all(set(r) == {"path", "reason"} for r in rejects)


@settings(max_examples=300, **LOOSE)
@given(st.text(st.characters(codec="cp1252", exclude_categories=["Cc", "Cs"]), max_size=80))
def test_unicode_encodings_come_back_as_they_were(text):
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert decode(text.encode(encoding)) == text
