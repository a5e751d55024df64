"""Docstrings: shared arguments stand once in the source, and are whole in what `help` shows."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
from torch import nn

import softtorch
from softtorch import shared

SOURCES = sorted(Path(softtorch.__file__).parent.rglob("*.py"))
PUBLIC = {
    name: value
    for name, value in vars(softtorch).items()
    if not name.startswith("_")
    and not name.endswith("_st")
    and (inspect.isfunction(value) or (inspect.isclass(value) and issubclass(value, nn.Module)))
}


def documented(docstring: str) -> list[str]:
    """The arguments that a docstring documents, in its order."""
    section = re.search(r"^Args:\n(.*?)(?=\n\n|\Z)", docstring, re.DOTALL | re.MULTILINE)
    entries = re.findall(r"^    (\S[^:\n]*): ", section[1], re.MULTILINE) if section else []
    return [name.lstrip("*") for entry in entries for name in entry.split(", ")]


@pytest.mark.parametrize("name", PUBLIC)
def test_help_documents_every_argument_in_the_order_of_the_signature(name: str) -> None:
    text, parameters = inspect.getdoc(PUBLIC[name]) or "", list(inspect.signature(PUBLIC[name]).parameters)
    # Layers of one line name the operator whose arguments they take.
    assert documented(text) == parameters or (inspect.isclass(PUBLIC[name]) and " as a layer" in text)
    assert "Example:" in text
    assert max(map(len, text.splitlines())) <= 120
    if "softness" in parameters and inspect.isfunction(PUBLIC[name]):
        assert "Raises:" in text
        assert "Error: " in text


def test_an_operator_reads_whole() -> None:
    text = inspect.getdoc(softtorch.topk) or ""
    for part in (
        "Soft torch.topk",
        "k: how many",
        "sinkhorn_max_iter",
        "Returns:",
        "DimensionError: ",
        "Source: Neural",
    ):
        assert part in text
    headings = re.findall(r"^(\w+):", text, re.MULTILINE)
    assert headings == ["Args", "Returns", "Raises", "Source", "Example"]


def test_a_straight_through_form_has_the_arguments_of_its_operator() -> None:
    for name in ("topk", "relu", "where", "gate"):
        text = inspect.getdoc(getattr(softtorch, f"{name}_st")) or ""
        assert text.startswith("The value of")
        assert documented(text) == list(inspect.signature(PUBLIC[name]).parameters)


def test_shared_texts_stand_in_the_source_once() -> None:
    texts = {*shared.USUAL.values(), *shared.ALONG_AN_AXIS.values(), *shared.ERRORS.values()}
    for path in SOURCES:
        if path.name == "shared.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                own = documented(ast.get_docstring(node) or "")
                flat = " ".join((ast.get_docstring(node) or "").split())
                repeated = [name for name in own for text in texts if len(text) > 30 and f"{name}: {text}" in flat]
                assert not repeated, f"{path.name}: {node.name} repeats {repeated}"


def test_every_shared_argument_is_one_of_some_function() -> None:
    given = {name for value in PUBLIC.values() for name in inspect.signature(value).parameters}
    shared_names = {name.partition("=")[0] for name in (*shared.USUAL, *shared.ALONG_AN_AXIS, *shared.ERRORS)}
    assert shared_names <= given


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_docstring_names_the_thing_first(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node) or ""
            assert text.split(" ")[0] not in ("What", "Whether"), f"{getattr(node, 'name', path)}: {text}"
            assert "\n" not in text.partition("\n\n")[0], f"the first line of {getattr(node, 'name', path)} goes on"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_files_that_a_text_names_exist(path: Path) -> None:
    root, tests = Path(softtorch.__file__).parent, Path(__file__).parent
    for name in re.findall(r"[\w/]+\.py\b", path.read_text()):
        places = (path.parent / name, root / name, root.parent / name)
        named_alone = "/" not in name and len([*root.rglob(name), *tests.rglob(name)]) == 1
        assert named_alone or any(place.exists() for place in places), f"{path.name} names {name}"
