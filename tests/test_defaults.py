"""Defaults are a promise: every one of public functions, methods, presets and the command line is in defaults.txt.

A default that changes changes what programs compute without a word. `UPDATE_DEFAULTS=1 pytest tests/test_defaults.py`
writes the table anew, for a change that is meant; CHANGELOG.md then says so.
"""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import softfx
import softtorch
from softfx.cli.arguments import make_parser
from softfx.decisions.policy import PRESETS
from softtorch.methods import METHODS

TABLE = Path(__file__).parent / "defaults.txt"


def shown(default: Any) -> str:
    return f"{default.__module__}.{default.__qualname__}" if callable(default) else repr(default)


def signature(function: Any) -> str:
    """The arguments in their order, those that are given by name alone behind a star."""
    parts = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        mark = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        given = "" if parameter.default is parameter.empty else f"={shown(parameter.default)}"
        parts.append(f"{mark}{parameter.name}{given}")
    return " ".join(parts)


def functions(package: Any, name: str) -> Iterator[str]:
    for public in dir(package):
        value = getattr(package, public)
        if public.startswith("_"):
            continue
        if inspect.isfunction(value):
            yield f"{name}.{public}: {signature(value)}"
        elif inspect.isclass(value) and not issubclass(value, BaseException) and "__init__" in vars(value):
            yield f"{name}.{public}(): {signature(value.__init__)}"


def options(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command, inner in action.choices.items():
                yield from options(inner, f"{name} {command}")
        elif action.dest not in ("help", "version"):
            by = "/".join(action.option_strings) or action.dest
            yield f"{name} {by}: {shown(action.default)}"


def lines() -> Iterator[str]:
    yield from functions(softtorch, "softtorch")
    for name, method in METHODS.items():
        fields = dict(sorted(vars(method).items()))
        yield f"method {name}: {' '.join(f'{key}={shown(value)}' for key, value in fields.items())}".rstrip()
    yield from functions(softfx, "softfx")
    for name in sorted(PRESETS):
        yield f"preset {name}: {PRESETS[name]!r}"
    yield from options(make_parser(), "softfx")


def test_every_default_is_the_one_that_the_table_promises() -> None:
    found = list(lines())
    if os.environ.get("UPDATE_DEFAULTS"):
        TABLE.write_text("\n".join(found) + "\n")
    promised = TABLE.read_text().splitlines()
    assert [line for line in found if line not in promised] == []
    assert [line for line in promised if line not in found] == []


def test_a_changed_default_is_noticed() -> None:
    def ceil(x: Any, softness: float = 0.25) -> None:
        """With another softness than the table has."""

    promised = TABLE.read_text()
    assert f"softtorch.ceil: {signature(softtorch.ceil)}\n" in promised
    assert f"softtorch.ceil: {signature(ceil)}" not in promised
    assert (
        "softtorch.rademacher: p=0.5 softness=0.1 mode='smooth' generator=None * shape=None straight_through=False\n"
        in promised
    )
