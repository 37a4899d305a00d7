"""Every notebook runs, as a case of its own, and keeps the form of the house."""

import json
import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "nbs").glob("[!_]*.ipynb"))
STAGES = [p for p in NOTEBOOKS if p.stem != "index"]
EXPORT = re.compile(r"^#\|\s*exports?\b", re.M)
CELL = 70  # lines; the aim is 40, and a class with several methods may take more
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
each_stage = pytest.mark.parametrize("path", STAGES, ids=lambda p: p.stem)


def cells(path: Path, kind: str) -> list[str]:
    """The text of each cell of one kind."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


@each
def test_notebook_runs(path):
    command = [Path(sysconfig.get_path("scripts")) / "nbdev-test", str(path)]
    env = os.environ | {"MPLBACKEND": "Agg"}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, (run.stdout + run.stderr)[-6000:]
    assert "Success." in run.stdout, "nbdev-test found nothing to run"


@each
def test_notebook_opens_with_a_title_and_a_subtitle(path):
    first = cells(path, "markdown")[0]
    assert re.match(r"# \S.*\n+> \S", first), f"{path.name} opens with {first[:60]!r}"


@each_stage
def test_exported_cells_are_short_and_narrow(path):
    exported = [c for c in cells(path, "code") if EXPORT.search(c)]
    long = [c.splitlines()[1] for c in exported if len(c.splitlines()) > CELL]
    wide = [ln for c in cells(path, "code") for ln in c.splitlines() if len(ln) > 100]
    total = sum(len(c.splitlines()) for c in exported)
    assert not long, f"cells of more than {CELL} lines"
    assert not wide, "lines of more than 100 columns"
    assert total <= 450, f"{total} exported lines in one notebook"


@each_stage
def test_notebook_has_no_star_import(path):
    starred = re.compile(r"^\s*from \S+ import \*", re.M)
    assert not [c for c in cells(path, "code") if starred.search(c)]


@each
def test_stored_outputs_are_whole(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    outputs = [o for c in notebook["cells"] for o in c.get("outputs", [])]
    assert not [o["evalue"] for o in outputs if o["output_type"] == "error"]
