"""The distribution: one version everywhere, metadata, and what the source distribution has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_same_wherever_it_stands() -> None:
    version = PROJECT["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None and heading[1] == version


def test_the_changelog_says_everything_once() -> None:
    entries = re.split(r"\n(?=- |\n#|#)", (ROOT / "CHANGELOG.md").read_text())
    said = [entry for entry in entries if entry.startswith("- ")]
    assert [entry for entry in said if said.count(entry) > 1] == []


def test_the_metadata_say_what_an_index_shows() -> None:
    assert PROJECT["authors"] and PROJECT["keywords"] and PROJECT["urls"]
    assert "Typing :: Typed" in PROJECT["classifiers"]
    assert any(need.startswith("numpy") for need in PROJECT["dependencies"])  # torch warns at import without it


@pytest.mark.parametrize(
    "kept",
    ["tests/conftest.py", "tests/defaults.txt", "tests/golden/softtorch_0.1.1.npz", "docs/architecture.md",
     "examples/README.md", "examples/notebooks/tour.ipynb", "benchmarks/report.md", "mkdocs.yml", "CONTRIBUTING.md",
     ".ci/run", "CITATION.cff"],
)  # fmt: skip
def test_the_source_distribution_has_what_its_tests_need(kept: str) -> None:
    lines = (ROOT / "MANIFEST.in").read_text().splitlines()
    folders = [line.split()[1] for line in lines if line.startswith("graft ")]
    files = [name for line in lines if line.startswith("include ") for name in line.split()[1:]]
    assert (ROOT / kept).exists()
    assert kept in files or kept.split("/")[0] in folders
