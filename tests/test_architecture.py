"""The shape of the code: what is only used where, how long files and functions may be; test_layers has the order."""

from __future__ import annotations

import ast
import subprocess
import sys
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


@MODULE
def test_softtorch_does_not_know_softfx_and_softfx_uses_its_public_names(name: str) -> None:
    for module, item in imports(name):
        if name.startswith("softtorch"):
            assert not module.startswith("softfx")
        elif module.startswith("softtorch"):
            assert not any(part.startswith("_") for part in (*module.split("."), item)), (module, item)


# The only files that may reach for a private name of torch.
PRIVATE_TORCH = {
    "softtorch.torch_private",
    "softfx.torch_private",
    "softfx.ops.schema_private",
    "softfx.interpreter.checkpoint_private",
    "softfx.control.versions_private",
    "softfx.capture.below_private",
    "softfx.traces.aten_private",
    "softfx.capture.cross_check.dynamo_private",
}
# Names with a leading underscore that are no secret, each with the reason.
OPEN_NAMES = {
    "_replace": "documented for named tuples, where the underscore only avoids clashes with fields",
    "_fields": "documented for named tuples, where the underscore only avoids clashes with fields",
    "_getframe": "documented in sys: the running frame",
    "_actions": "argparse has no other way to ask a parser for its arguments",
    "_softfx": "the mark of softfx on what `soften` returned, which every verb looks for",
}


def private_torch(name: str) -> set[str]:
    """Names of torch with a leading underscore that a module imports or writes out."""
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


def private_attributes(name: str) -> set[str]:
    """Attributes with a leading underscore that a module takes from objects that are not its own.

    Its own are `self`, `cls`, and whatever has an attribute that this module defines.
    """
    own, found = own_attributes(name), set()
    for node in ast.walk(tree(name)):
        for holder, attribute in taken(node):
            if is_private(attribute) and holder not in ("self", "cls") and attribute not in own | OPEN_NAMES.keys():
                found.add(f"{holder}.{attribute}")
    return found


def taken(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(object, attribute) where `node` takes an attribute, by a dot or by getattr and its like."""
    if isinstance(node, ast.Attribute):
        yield ast.unparse(node.value), node.attr
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
        of, attribute = node.args[:2]
        by_name = node.func.id in ("getattr", "setattr", "hasattr", "delattr")
        if by_name and isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
            yield ast.unparse(of), attribute.value


def own_attributes(name: str) -> set[str]:
    """Attributes that the classes of a module define: methods, fields, and what is assigned to `self`."""
    own: set[str] = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                    own.add(part.name)
                targets = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
                own |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            own.add(node.attr)
    return own


def is_private(part: str) -> bool:
    return part.startswith("_") and not part.endswith("__")


@MODULE
def test_private_interfaces_of_torch_are_used_in_one_place(name: str) -> None:
    if name not in PRIVATE_TORCH:
        assert private_torch(name) == set()


@MODULE
def test_no_module_reaches_for_a_private_attribute_of_anothers_object(name: str) -> None:
    if name not in PRIVATE_TORCH:
        assert private_attributes(name) == set()


@pytest.mark.parametrize("name", sorted(PRIVATE_TORCH))
def test_each_private_name_of_torch_stands_in_the_list_of_reasons(name: str) -> None:
    """So that the docstring is the whole truth: a name that is used is named there, and why."""
    reasons = ast.get_docstring(tree(name)) or ""
    written = {text.rpartition(".")[2] for text in private_torch(name) | private_attributes(name)}
    assert {item for item in written if item not in reasons} == set()


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        ("rich", {"softfx.report.terminal", "softfx.handbook.terminal"}),  # the second without torch
        ("matplotlib", {"softfx.plots.pictures"}),
        ("jinja2", {"softfx.report.page.render"}),
        ("torch._dynamo", {"softfx.capture.cross_check.dynamo_private"}),
    ],
)
def test_a_package_is_known_in_one_place(package: str, homes: set[str]) -> None:
    users = {
        name
        for name in MODULES
        for module, item in imports(name)
        if f"{module}.{item}.".startswith(package + ".") or f"{module}.".startswith(package + ".")
    }
    assert users <= homes


CROSS_CHECKS = "softfx.capture.cross_check"


def test_the_cross_checks_of_capture_are_fenced() -> None:
    """Only the frontends know them, and import them where they are asked for: inside of functions."""
    users = {
        name
        for name in MODULES
        if not name.startswith(CROSS_CHECKS) and any(found.startswith(CROSS_CHECKS) for found in imported_modules(name))
    }
    assert users == {"softfx.capture.frontends"}
    at_import = {
        f"{node.module}.{alias.name}"
        for node in tree("softfx.capture.frontends").body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert at_import and not any(item.startswith(CROSS_CHECKS) for item in at_import)


def test_nothing_of_the_cross_checks_is_loaded_unless_it_is_asked_for() -> None:
    program = (
        "import sys, torch, softfx; softfx.soften(torch.round, example_inputs=(torch.ones(2),)); "
        f"print([name for name in sys.modules if name.startswith({CROSS_CHECKS!r})])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"


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
