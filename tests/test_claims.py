"""A docstring that calls its module the only one to know a package is true: no other module imports the package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.test_architecture import MODULES, tree

# "`terminal` is the only module that knows rich", "This is the only module that knows matplotlib".
CLAIM = re.compile(r"(?:`(?P<neighbour>\w+)`|This) is the\s+only\s+module\s+that\s+knows\s+(?P<package>[\w.]*\w)")


def claims() -> Iterator[tuple[str, str]]:
    """Each module that is said to be the only one, with the package that it is said to know."""
    for name in MODULES:
        for claim in CLAIM.finditer(ast.get_docstring(tree(name)) or ""):
            neighbour = claim["neighbour"]
            yield (f"{name}.{neighbour}" if neighbour else name), claim["package"]


def importers(package: str) -> set[str]:
    """The modules that import a package or a part of it, for type checkers or at run time."""
    return {name for name in MODULES for module in imported(name) if f"{module}.".startswith(f"{package}.")}


def imported(name: str) -> Iterator[str]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(("name", "package"), list(claims()))
def test_a_module_that_is_said_to_be_the_only_one_to_know_a_package_is_it(name: str, package: str) -> None:
    assert importers(package) == {name}


def test_matplotlib_is_claimed_by_the_module_that_uses_it() -> None:
    assert ("softfx.plots.pictures", "matplotlib") in set(claims())


def test_no_docstring_claims_it_in_words_that_are_not_checked() -> None:
    """A package is known by the one wording above, so that every such sentence is tried."""
    for name in MODULES:
        text = ast.get_docstring(tree(name)) or ""
        assert len(re.findall(r"\bonly\s+(?:module|file)\b", text)) == len(CLAIM.findall(text)), name
