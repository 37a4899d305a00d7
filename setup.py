"""Packaging: every field that pyproject.toml calls dynamic comes from settings.ini."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
config = ConfigParser(delimiters=["="])
config.read(here / "settings.ini", encoding="utf-8")
field = config["DEFAULT"]
package = field["lib_name"]


def lines(name: str) -> list[str]:
    """The non-empty lines of one multi-line field."""
    return [line.strip() for line in field[name].splitlines() if line.strip()]


suffix = "_requirements"
setup(
    name=package,
    version=field["version"],
    description=field["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license=field["license"],
    author=field["author"],
    keywords=field["keywords"].split(),
    classifiers=lines("classifiers"),
    packages=find_packages(include=[package, f"{package}.*"]),
    package_data={package: ["assets/*", "assets/small/*", "assets/small/tokenizer/*", "py.typed"]},
    install_requires=lines("requirements"),
    extras_require={k.removesuffix(suffix): lines(k) for k in field if k.endswith(suffix)},
    entry_points={
        "console_scripts": lines("console_scripts"),
        "nbdev": [f"{package}={package}._modidx:d"],
    },
)
