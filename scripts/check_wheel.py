"""Build the package, install it into an empty environment, and use it from an empty folder.

The source archive is built first and the wheel from it, both from a copy of the repository, so that
neither a forgotten file nor an old build folder can hide. The wheel is installed with its
requirements as pip resolves them under constraints.txt. Nothing is read from this checkout after
that.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "resume_contrastive"
FILES = [
    "settings.ini",
    "setup.py",
    "pyproject.toml",
    "constraints.txt",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
]
USE = f"""
import sys
from pathlib import Path
import {PACKAGE}, {PACKAGE}.scorer
heavy = {{"torch", "transformers", "pandas", "sklearn", "matplotlib"}} & set(sys.modules)
assert not heavy, f"importing the scorer loads {{sorted(heavy)}}"
print({PACKAGE}.__version__, Path({PACKAGE}.__file__).resolve().is_relative_to(sys.prefix))
"""


class Failed(Exception):
    """A step that didn't do what it should, in a sentence."""


def run(*command: object, cwd: Path) -> str:
    """Run a command; show all that it printed when it fails."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    words = [str(c) for c in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        tail = (done.stdout + done.stderr)[-4000:]
        raise Failed(f"{tail}\n{' '.join(words[:4])} ... ended with status {done.returncode}")
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel of a copy of the repository, built through the source archive."""
    copy = folder / "source"
    copy.mkdir()
    for name in FILES:
        shutil.copy2(ROOT / name, copy / name)
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / PACKAGE, copy / PACKAGE, ignore=skip)
    options = ["--no-isolation", "--outdir", folder / "dist"]  # the backend is in the dev extra
    run(sys.executable, "-m", "build", *options, copy, cwd=folder)
    return next((folder / "dist").glob("*.whl"))


def check_contents(wheel: Path) -> None:
    """Everything of the package, the licence, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if not n.endswith("/")}
    files = [p for p in (ROOT / PACKAGE).rglob("*") if p.is_file() and p.suffix != ".pyc"]
    wanted = {p.relative_to(ROOT).as_posix() for p in files}
    missing = wanted - names
    strange = {n for n in names if not n.startswith(f"{PACKAGE}/") and ".dist-info/" not in n}
    if missing or strange:
        raise Failed(f"the wheel lacks {sorted(missing)} and should not hold {sorted(strange)}")
    if not any(n.endswith("LICENSE") for n in names):
        raise Failed("the wheel has no LICENSE")
    size = wheel.stat().st_size / 1e6
    print(f"{wheel.name}: {len(names)} files, {size:.2f} MB, with its licence")


def check_use(wheel: Path, folder: Path) -> None:
    """Install the wheel into an empty environment; ask for help, and import the scorer."""
    venv.create(folder / "env", with_pip=True)
    scripts = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    python, empty = scripts / "python", folder / "empty"
    empty.mkdir()
    pins = ROOT / "constraints.txt"
    pip = [python, "-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check"]
    start = time.perf_counter()
    run(*pip, "-c", pins, wheel, cwd=empty)
    print(f"installed with its requirements in {time.perf_counter() - start:.0f} s")
    run(python, "-m", "pip", "check", cwd=empty)
    help_text = run(scripts / "resume-contrastive", "--help", cwd=empty)
    if "Usage" not in help_text and "usage" not in help_text:
        raise Failed("resume-contrastive --help shows no usage")
    version, inside = run(python, "-c", USE, cwd=empty).split()
    if inside != "True":
        raise Failed("the package was imported from outside the empty environment")
    print(f"resume-contrastive --help answers; {PACKAGE}.scorer {version} imports, and stays light")
    if any(empty.iterdir()):
        raise Failed(f"help and import left files behind: {[p.name for p in empty.iterdir()]}")


def main() -> int:
    """Build, look inside, install, use."""
    with tempfile.TemporaryDirectory(prefix="check-wheel-") as tmp:
        folder = Path(tmp).resolve()
        try:
            start = time.perf_counter()
            wheel = build(folder)
            print(f"built in {time.perf_counter() - start:.0f} s")
            check_contents(wheel)
            check_use(wheel, folder)
        except Failed as error:
            print(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
