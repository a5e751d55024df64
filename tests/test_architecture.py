"""The shape of the code: which way imports point, what is only used where, how long files and functions may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("softfx", "softtorch")
    for path in sorted((ROOT / package).rglob("*.py"))
}
MODULE = pytest.mark.parametrize("name", MODULES)

# From low to high; a module imports from its own level or a lower one. What is not named is a stage.
SOFTFX_LEVELS = {
    "softfx.errors": 0,
    "softfx.torch_private": 0,
    "softfx.ops": 1,
    "softfx.values": 1,
    "softfx.runtime": 1,
    "softfx.functions": 1,
    "softfx.rules": 2,
    "softfx.decisions.policy": 3,
    "softfx.locations": 3,
    "softfx.report": 3,
    "softfx.report.build": 4,
    "softfx.api": 5,
    "softfx.patching": 5,
    "softfx.plots.curves": 5,
    "softfx.plots.metering": 5,
    "softfx.plots.pictures": 6,
    "softfx.report.terminal": 6,
    "softfx.cli": 6,
    "softfx": 5,
    "softfx.__main__": 7,
}
STAGE = 4
SOFTTORCH_LEVELS = {
    "softtorch.errors": 0,
    "softtorch._torch_private": 0,
    "softtorch.kernels": 0,
    "softtorch.modes": 1,
    "softtorch.methods": 2,
    "softtorch.options": 3,
}
OPERATOR = 4


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text())


def imports(name: str) -> Iterator[tuple[str, str]]:
    """(module, name) for each import that runs; those for type checkers only do not."""
    skipped = {
        child
        for node in ast.walk(tree(name))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree(name)):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def imported_modules(name: str) -> set[str]:
    """The modules of this project that `name` imports."""
    both = {path for module, item in imports(name) for path in (f"{module}.{item}", module)}
    return both & MODULES.keys()


def level(name: str) -> int:
    levels, other = (SOFTFX_LEVELS, STAGE) if name.startswith("softfx") else (SOFTTORCH_LEVELS, OPERATOR)
    parts = name.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 1, -1))
    return next((levels[prefix] for prefix in prefixes if prefix in levels), levels.get(name, other))


@MODULE
def test_imports_point_one_way(name: str) -> None:
    package = name.partition(".")[0]
    wrong = {
        other
        for other in imported_modules(name)
        if other.startswith(package) and other != package and level(other) > level(name)
    }
    assert not wrong, f"{name} (level {level(name)}) imports from above: {wrong}"


@MODULE
def test_softtorch_does_not_know_softfx_and_softfx_uses_its_public_names(name: str) -> None:
    for module, item in imports(name):
        if name.startswith("softtorch"):
            assert not module.startswith("softfx")
        elif module.startswith("softtorch"):
            assert not any(part.startswith("_") for part in (*module.split("."), item)), (module, item)


def private_torch(name: str) -> set[str]:
    """Names of torch with a leading underscore that a module uses."""
    found = {
        f"{module}.{item}"
        for module, item in imports(name)
        if module.split(".")[0] == "torch" and any(is_private(part) for part in (*module.split("."), item))
    }
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if text.startswith("torch.") and any(is_private(part) for part in text.split(".")):
                found.add(text)
    return found


def is_private(part: str) -> bool:
    return part.startswith("_") and not part.endswith("__")


@MODULE
def test_private_interfaces_of_torch_are_used_in_one_place(name: str) -> None:
    if name in ("softtorch._torch_private", "softfx.torch_private", "softfx.capture.cross_check.dynamo"):
        return
    assert private_torch(name) == set()


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("rich", "softfx.report.terminal"),
        ("matplotlib", "softfx.plots.pictures"),
        ("torch._dynamo", "softfx.capture.cross_check.dynamo"),
    ],
)
def test_a_package_is_known_in_one_place(package: str, home: str) -> None:
    users = {
        name
        for name in MODULES
        for module, item in imports(name)
        if f"{module}.{item}.".startswith(package + ".") or f"{module}.".startswith(package + ".")
    }
    assert users <= {home}


@MODULE
def test_a_file_has_one_subject_and_a_function_fits_on_a_screen(name: str) -> None:
    assert len(MODULES[name].read_text().splitlines()) <= 400
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node) is not None
            first = node.body[1] if documented and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or 0) - first.lineno + 1
            assert length <= 50, f"{name}.{node.name} has {length} lines"


@MODULE
def test_every_module_says_what_lives_in_it(name: str) -> None:
    assert ast.get_docstring(tree(name))


def test_no_file_names_a_machine_or_a_private_place() -> None:
    marks = ("/" + "work/", "/" + "home/", "/" + "root/", "/" + "Users/")
    kinds = {".py", ".md", ".toml", ".txt", ".sh", ""}
    skipped = {".git", ".ci", ".venv", "build", "dist"}
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and path.suffix in kinds and not any(p in skipped or p.startswith(".") for p in parts):
            text = path.read_text(errors="ignore")
            assert not [mark for mark in marks if mark in text], path
