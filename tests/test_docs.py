"""The pages in softfx/docs and softtorch/docs and that of the architecture are true: code runs, tables and links hold.

Those of the site are tried by test_site.py.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from softfx.decisions.policy import Policy
from softfx.decisions.policy.schema import FAMILIES, OPTIONS, SELECTORS, SETTINGS
from softfx.handbook.entries import FILE, serialized
from softfx.report.rule_pages import handbook, rules_page
from softfx.rules import RULES
from softtorch.straight_through.estimators import ESTIMATORS

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in sorted((ROOT / "docs" / "architecture.md", *ROOT.glob("soft*/docs/*.md")))
}


def blocks(language: str) -> list[tuple[str, str]]:
    pattern = rf"```{language}\n(.*?)```"
    return [(name, block) for name, path in PAGES.items() for block in re.findall(pattern, path.read_text(), re.DOTALL)]


@pytest.mark.parametrize(("page", "block"), blocks("python"))
def test_every_python_block_runs(page: str, block: str) -> None:
    exec(compile(block, page, "exec"), {"__name__": "docs"})


# A pyproject.toml is no policy; tests/softfx/cli/test_project.py reads it.
POLICIES = [(page, block) for page, block in blocks("toml") if "[tool." not in block]


@pytest.mark.parametrize(("page", "block"), POLICIES)
def test_every_policy_loads(page: str, block: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(block)
    assert Policy.load(path).entries


def test_the_reference_names_every_field_family_and_estimator() -> None:
    text = PAGES["softfx/docs/policy.md"].read_text()
    options = {option for rule in RULES.values() if rule.code >= "SX1" for option in rule.options}
    named = {*SELECTORS, *SETTINGS, *OPTIONS, *options, *FAMILIES, *ESTIMATORS}
    assert {name for name in named if f"`{name}`" not in text} == set()


def test_the_page_of_rules_is_the_table() -> None:
    """UPDATE_DOCS=1 writes it anew."""
    path, text = ROOT / "softfx/docs/rules.md", rules_page([rule for rule in RULES.values() if rule.code >= "SX1"])
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(text)
    assert path.read_text() == text


def test_the_handbook_is_the_table() -> None:
    """UPDATE_DOCS=1 writes it anew."""
    text = serialized(handbook(RULES.values()))
    if os.environ.get("UPDATE_DOCS"):
        FILE.write_text(text)
    assert FILE.read_text() == text


def test_the_architecture_page_names_files_and_names_that_there_are() -> None:
    text = PAGES["docs/architecture.md"].read_text()
    for path in re.findall(
        r"`((?:ops|values|rules|decisions|interpreter|capture|pipeline|report|code)/[\w/]+(?:\.py)?)`", text
    ):
        assert (ROOT / "softfx" / path).exists(), path
    for path in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", PAGES[page].read_text()):
        assert (PAGES[page].parent / link).exists(), link
