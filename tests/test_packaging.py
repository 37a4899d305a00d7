"""The two descriptions of the package agree, it is installed as they say, and it stays light."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from importlib.metadata import distribution, entry_points, metadata, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "resume_contrastive"


@pytest.fixture(scope="module")
def settings():
    config = ConfigParser(delimiters=["="])
    config.read(ROOT / "settings.ini", encoding="utf-8")
    return config["DEFAULT"]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(text: str) -> list[Requirement]:
    return [Requirement(line) for line in text.splitlines() if line.strip()]


def tracked_files() -> list[Path]:
    """What git would commit: tracked files, and new ones that it doesn't ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [p for n in listed.stdout.split("\0") if n and (p := ROOT / n).is_file()]


def test_settings_and_pyproject_agree(settings, project):
    assert project["project"]["name"] == settings["lib_name"] == PACKAGE
    assert project["project"]["requires-python"] == f">={settings['min_python']}"
    assert (ROOT / project["tool"]["nbdev"]["lib_path"]).name == settings["lib_name"]


def test_one_version_everywhere(settings):
    import resume_contrastive

    assert settings["version"] == version(PACKAGE) == resume_contrastive.__version__


def test_every_dynamic_field_is_set(settings, project):
    dynamic = set(project["project"]["dynamic"])
    told = metadata(PACKAGE)
    field = {
        "version": "Version",
        "description": "Summary",
        "readme": "Description-Content-Type",
        "license": "License",
        "authors": "Author",
        "keywords": "Keywords",
        "classifiers": "Classifier",
        "dependencies": "Requires-Dist",
        "optional-dependencies": "Provides-Extra",
    }
    assert dynamic == {*field, "scripts", "entry-points"}
    for name, key in field.items():
        assert told[key], f"{name} is called dynamic and setup.py doesn't set it"
    assert told["Summary"] == settings["description"]
    assert told["License"] == settings["license"] == "Apache-2.0"


def test_entry_points_are_those_of_the_settings(settings):
    name, _, target = settings["console_scripts"].strip().partition("=")
    (script,) = entry_points(group="console_scripts", name=name)
    assert script.value == target == f"{PACKAGE}.cli:main"
    (index,) = entry_points(group="nbdev", name=PACKAGE)
    assert index.load()["settings"]["lib_path"] == PACKAGE


def test_installed_requirements_are_those_of_the_settings(settings):
    told = [Requirement(r) for r in distribution(PACKAGE).requires]
    core = {str(r) for r in told if r.marker is None}
    assert core == {str(r) for r in requirements(settings["requirements"])}
    extras = {k.removesuffix("_requirements") for k in settings if k.endswith("_requirements")}
    assert set(metadata(PACKAGE).get_all("Provides-Extra")) == extras >= {"plots", "demo", "dev"}


def test_every_requirement_is_pinned_within_its_bounds(settings):
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    assert lines[0] == "torch==2.13.0"
    exact = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+")
    assert [line for line in lines if not exact.fullmatch(line)] == []
    pins = {canonicalize_name(n): v for n, _, v in (line.partition("==") for line in lines)}
    assert len(pins) == len(lines), "a package is pinned twice"
    wanted = [k for k in settings if k == "requirements" or k.endswith("_requirements")]
    for need in (r for k in wanted for r in requirements(settings[k])):
        assert pins[canonicalize_name(need.name)] in need.specifier, need


def test_no_bound_reaches_below_a_major_version_that_was_never_tested(settings):
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    (pin,) = (line for line in lines if line.startswith("openai=="))
    (need,) = requirements(settings["llm_requirements"])
    tested = pin.partition("==")[2].partition(".")[0]
    assert tested in need.specifier and str(int(tested) - 1) not in need.specifier


def test_the_scorer_imports_light():
    heavy = ["torch", "transformers", "pandas", "sklearn", "scipy", "matplotlib", "typer"]
    code = f"import sys, {PACKAGE}.scorer; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_nobody_imports_the_command_line():
    for path in (ROOT / PACKAGE).glob("[!_]*.py"):
        if path.stem == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module or ''}.{a.name}" for a in node.names]
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            else:
                continue
            assert not [n for n in names if re.search(r"(^|\.)cli(\.|$)", n)], path.name


def test_package_holds_its_data():
    assert (ROOT / PACKAGE / "py.typed").exists()
    assert any((ROOT / PACKAGE / "assets").iterdir())


def test_readme_and_front_page_are_current():
    command = [sys.executable, str(ROOT / "scripts" / "write_readme.py"), "--check"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_no_file_names_one_machine():
    """No path of one machine, no private index and no key in a file of the repository."""
    folders = "|".join(["work", "tmp", "root", "home/[a-z]+", "opt", "Users/[a-zA-Z]+"])
    forbidden = re.compile(
        rf"(?<![\w.:/~$}}-])/(?:{folders})/[\w.-]"
        r"|file:/{3}|(?:index-url|find-links)[ =]+\S*(?:localhost|127\.0\.0\.1|file:)"
        r"|\bsk-[A-Za-z0-9]{20,}|\bhf_[A-Za-z0-9]{20,}"
    )
    text = {".py", ".ipynb", ".md", ".toml", ".ini", ".txt", ".yml", ".json", ".cfg", ".in", ""}
    found = []
    for path in tracked_files():
        if path.suffix not in text or path.name == "LICENSE" or "assets" in path.parts:
            continue
        body = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {m[0]}" for m in forbidden.finditer(body)]
    assert found == []


def test_no_large_or_private_file_is_committed():
    for path in tracked_files():
        name = path.relative_to(ROOT).as_posix()
        assert path.suffix not in {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".env"}, name
        assert path.stat().st_size < 5_000_000, f"{name} is {path.stat().st_size / 1e6:.1f} MB"


def test_records_are_json():
    for path in (ROOT / "data" / "results").glob("**/*.json"):
        json.loads(path.read_text(encoding="utf-8"))
