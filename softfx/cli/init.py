"""`softfx init`: a first `[tool.softfx]`, made of what can be found in a project without running it.

A function that returns (model, inputs) is a whole target. A Module class says neither the shapes of its inputs nor what
it is built with, and a function of tensors not their shapes: each is a comment to be completed.
"""

from __future__ import annotations

import argparse
import ast
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from softfx.cli.files import write
from softfx.cli.target import name_in
from softfx.decisions.policy.toml import write_pairs
from softfx.errors import TargetError
from softfx.visible import visible

__all__ = ["Candidate", "append", "candidates", "has_table", "table_text", "target_text"]

_SKIPPED = {"tests", "test", "build", "dist", "docs", "examples", "node_modules", "site-packages", "venv", "env"}
_MOST_FILES, _MOST_WRITTEN = 2000, 40

_HEAD = """\
[tool.softfx]
policy = "gradients"       # a preset, or a file: softfx policy init TARGET --out policy.toml
fail-on = ["blocked"]      # what makes `softfx check` fail: blocked, keep, break, or none
# baseline = "softfx-baseline.json"  # of findings that are known: softfx check --format json --out softfx-baseline.json
"""


@dataclass(frozen=True)
class Candidate:
    """What may be a target: its words, the names of the inputs it needs, and whether it is built with arguments."""

    target: str
    takes: tuple[str, ...] = ()
    is_whole: bool = False
    needs_arguments: bool = False

    @property
    def is_ready(self) -> bool:
        """True if nothing has to be written by hand."""
        return self.is_whole or not (self.takes or self.needs_arguments)


def candidates(folder: Path) -> list[Candidate]:
    """What the Python files below a folder define that softfx can check, what is whole first; nothing is imported."""
    files = [(path, _parsed(path)) for _, path in zip(range(_MOST_FILES), _files(folder), strict=False)]
    classes = {node.name: node for _, body in files for node in body if isinstance(node, ast.ClassDef)}
    found: list[Candidate] = []
    for path, body in files:
        place = path.relative_to(folder).as_posix()
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found += _module(place, node, classes)
            elif isinstance(node, ast.FunctionDef):
                found += _function(place, node)
    return sorted(found, key=lambda each: (not each.is_whole, each.needs_arguments))


def _parsed(path: Path) -> list[ast.stmt]:
    """The statements of a file; none of one that is not for this Python, or not for any."""
    try:
        return ast.parse(path.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in _SKIPPED or path.is_symlink():
            continue
        if path.is_dir() and not (path / "pyvenv.cfg").exists():
            yield from _files(path)
        elif path.suffix == ".py" and path.is_file():
            yield path


def _module(place: str, node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> Iterator[Candidate]:
    """The class, if it is a Module; methods and bases may be those of other classes of the project."""
    family = _family(node, classes)
    forward, init = _method(family, "forward"), _method(family, "__init__")
    if forward is not None and any(_is_module(base) for each in family for base in each.bases):
        needs = _required(init, 1) if init is not None else []
        words = f"({', '.join(f'{name}=...' for name in needs)})" if needs else ""
        yield Candidate(f"{place}:{node.name}{words}", tuple(_required(forward, 1)), needs_arguments=bool(needs))


def _family(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """A class and those among others that it derives from, nearest first."""
    found, waiting = {node.name: node}, [node]
    while waiting:
        for base in waiting.pop(0).bases:
            name = ast.unparse(base).rpartition(".")[2]
            if name in classes and name not in found:
                found[name] = classes[name]
                waiting.append(classes[name])
    return [*found.values()]


def _is_module(base: ast.expr) -> bool:
    owner, _, name = ast.unparse(base).rpartition(".")
    return name.endswith("Module") or owner in ("nn", "torch.nn")


def _method(family: list[ast.ClassDef], name: str) -> ast.FunctionDef | None:
    methods = (part for each in family for part in each.body if isinstance(part, ast.FunctionDef))
    return next((method for method in methods if method.name == name), None)


def _function(place: str, node: ast.FunctionDef) -> Iterator[Candidate]:
    """A function that makes a model and its inputs, or one that needs tensors alone, as its annotations say."""
    needs, hints = _required(node, 0), {argument.arg: argument.annotation for argument in _arguments(node)}
    if not needs and _returns_both(node):
        yield Candidate(f"{place}:{node.name}", is_whole=True)
    elif needs and not node.name.startswith("_") and all(_is_tensor(hints[name]) for name in needs):
        yield Candidate(f"{place}:{node.name}", tuple(needs))


def _is_tensor(hint: ast.expr | None) -> bool:
    return hint is not None and ast.unparse(hint).strip("'\"").rpartition(".")[2] == "Tensor"


def _arguments(node: ast.FunctionDef) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def _required(node: ast.FunctionDef, skipped: int) -> list[str]:
    """The names of the arguments without a default, but for the first ones."""
    given = [*node.args.posonlyargs, *node.args.args]
    free = given[skipped : len(given) - len(node.args.defaults)]
    named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return [argument.arg for argument in (*free, *(argument for argument, default in named if default is None))]


def _returns_both(node: ast.FunctionDef) -> bool:
    """Return True if every result is written as (model, (inputs...))."""
    results = [part.value for part in ast.walk(node) if isinstance(part, ast.Return)]
    return bool(results) and all(
        isinstance(value, ast.Tuple) and len(value.elts) in (2, 3) and isinstance(value.elts[1], ast.Tuple | ast.List)
        for value in results
    )


def table_text(arguments: argparse.Namespace, found: list[Candidate]) -> str:
    """The text of the table: of the target that is named, or of those that were found."""
    if arguments.target is not None:
        return f"{_HEAD}\n{target_text(arguments)}"
    parts = [_HEAD]
    for each in found[:_MOST_WRITTEN]:
        pairs: dict[str, object] = {"target": each.target}
        if not each.is_whole and each.takes:
            pairs["input"] = [f"{name}=2x3" for name in each.takes]
        text = "[[tool.softfx.target]]\n" + write_pairs(pairs)
        parts.append(text if each.is_ready else _as_comment(text, each.needs_arguments))
    if more := found[_MOST_WRITTEN:]:
        parts.append(f"# And {len(more)} more, such as {more[0].target}.\n")
    return "\n".join(parts)


def target_text(arguments: argparse.Namespace) -> str:
    """The entry of the target that is named."""
    return "[[tool.softfx.target]]\n" + write_pairs(_settings(arguments))


def _as_comment(text: str, needs_arguments: bool) -> str:
    lines = [f"# {line}" for line in text.splitlines()]
    own = "arguments, and shapes" if needs_arguments else "shapes"
    return "\n".join([*lines[:-1], f"{lines[-1]}  # write its own {own}"]) + "\n"


def _settings(arguments: argparse.Namespace) -> dict[str, object]:
    """The settings of the command line that are not their defaults."""
    name = visible(name_in(arguments.target))
    pairs: dict[str, object] = {"name": name, "target": arguments.target}
    for key in ("input", "value", "load", "seed", "function", "train", "eval", "policy", "set", "allow_unused"):
        if value := getattr(arguments, key):
            pairs[key.replace("_", "-")] = value
    if arguments.capture != "auto":
        pairs["capture"] = arguments.capture
    return pairs


def has_table(path: Path) -> bool:
    """Return True if a pyproject.toml has a [tool.softfx]."""
    try:
        return path.is_file() and "softfx" in tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        raise TargetError(f"init: {path} cannot be read: {error}. Correct it first.") from error


def append(path: Path, table: str) -> None:
    """Write the table behind what the file has, if there is one."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    whole = text.rstrip("\n") + ("\n\n" if text.strip() else "") + table
    try:
        tomllib.loads(whole)
    except tomllib.TOMLDecodeError as error:
        raise TargetError(
            f"init: {path} has its targets in a form behind which none can be added ({error}). Write each as "
            "[[tool.softfx.target]], or edit the file."
        ) from error
    write(str(path), whole, force=True)
