"""The commands that print code, pages and tables, their help, and softfx as a program."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from softfx.cli.arguments import make_parser
from softfx.rules import RULES
from tests.softfx.cli.programs import Run, X


def test_diff_shows_the_code_before_and_after(softfx: Run) -> None:
    answer = softfx("diff", "router_models:build", *X)
    assert answer.status == 0
    assert answer.out.startswith("--- ")
    assert any(line.startswith("+") and "softtorch.argmax" in line for line in answer.out.splitlines())


def test_diff_without_changes_says_so(softfx: Run) -> None:
    answer = softfx("diff", "router_models:linear", *X)
    assert (answer.status, answer.out) == (0, "")
    assert "no code changes under this policy" in answer.err


@pytest.mark.parametrize("name", ["SX201", "argmax"])
def test_explain_prints_the_page_of_a_code_or_a_name(softfx: Run, name: str) -> None:
    answer = softfx("explain", name)
    assert answer.status == 0
    assert answer.out.startswith("SX201 argmax\n")
    assert "softtorch.argmax" in answer.out


@pytest.mark.parametrize("name", ["kink", "@kink"])
def test_explain_lists_a_family(softfx: Run, name: str) -> None:
    kinks = [rule for rule in RULES.values() if rule.family == "kink"]
    assert len(softfx("explain", name).out.splitlines()) == len(kinks)


def test_rules_lists_every_operation_by_code(softfx: Run) -> None:
    codes = [line.split()[0] for line in softfx("rules").out.splitlines()]
    assert codes == sorted(rule.code for rule in RULES.values())
    assert len(json.loads(softfx("rules", "--format", "json").out)) == len(RULES)
    assert softfx("rules", "--format", "markdown").out.startswith("| code | operation |")


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from commands(below, (*words, name))


@pytest.mark.parametrize("command", list(commands(make_parser())))
def test_help_fits_into_80_columns(softfx: Run, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    answer = softfx(*command, "--help")
    assert answer.status == 0
    assert max(map(len, answer.out.splitlines())) <= 80


def test_the_module_is_a_program_and_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m softfx rules | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("SX")
    assert done.stderr == ""
