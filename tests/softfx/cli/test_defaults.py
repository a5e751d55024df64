"""What a command does where nothing is said is a promise: every argument of every command with its default."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from softfx.cli.arguments import make_parser

COMMON = {"-q --quiet": False, "--traceback": False}
POLICY = {"-p --policy": None, "--set": []}
TARGET = {
    "target": None,
    "--input": [],
    "--value": [],
    "--load": None,
    "--seed": 0,
    "--function": False,
    "--train": False,
    "--eval": False,
    "--capture": ("auto", ("auto", "fx", "dynamo", "eager")),
    "--allow-unused": False,
    **POLICY,
    **COMMON,
}
OUT = {"--out": None, "--force": False}
COUNTING = {"--fail-on": ("blocked",), "--baseline": None}
MEASURED = OUT | {"--loader": None, "--loss": None, "--scale": 0.3, "--samples": 512}
ALL = {"--format": (None, ("rich", "text", "json", "markdown", "sarif", "html"))}
PLAIN = {"--format": (None, ("rich", "text"))}
PAGED = {"--format": (None, ("rich", "text", "html"))}
DATA = {"--format": (None, ("rich", "text", "json"))}

PROMISED: dict[str, dict[str, Any]] = {
    "check": TARGET | ALL | COUNTING | OUT | {"--jobs": None, "--lock": None, "--tolerance": 0.01},
    "init": TARGET,
    "completions": {"shell": (None, ("bash", "zsh", "fish")), **COMMON},
    "diff": TARGET | PAGED | OUT,
    "soften": TARGET | ALL | COUNTING | OUT,
    "run": {"--soften": None, "script": None, **POLICY, **COMMON},
    "audit": TARGET
    | MEASURED
    | {
        "--format": (None, ("text", "json", "html")),
        "--samples": 512,
        "--sites": ("every", ("every", "acting", "none")),
    },
    "calibrate": TARGET
    | MEASURED
    | {
        "--format": (None, ("text", "json")),
        "--samples": 512,
        "--budget": 100000,
        "--scores": None,
    },
    "lock": TARGET | OUT | {"--samples": 0},
    "plot": TARGET
    | OUT
    | {
        "--modes": None,
        "--softness": (0.5, 0.1, 0.05),
        "--range": (-2.0, 2.0),
        "--method": None,
        "--objective": False,
    },
    "explain": {"name": None, **DATA, **COMMON},
    "rules": {
        "--format": (None, ("rich", "text", "json", "markdown")),
        "--family": (None, ("discrete", "kink", "selection", "random", "unsafe", "normalization", "control")),
        **COMMON,
    },
    "policy init": TARGET | PLAIN | OUT,
    "policy show": TARGET | OUT | {"--format": (None, ("rich", "text", "json", "html"))},
}


def commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command, and those below it."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield name, parser
    for action in below:
        for word, child in action.choices.items():
            yield from commands(child, f"{name} {word}".strip())


def defaults(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Each argument with its default, and the choices if there are any."""
    found = {}
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            name = " ".join(action.option_strings) or action.dest
            found[name] = (action.default, tuple(action.choices)) if action.choices else action.default
    return found


def test_every_command_has_these_arguments_and_defaults() -> None:
    found = {name: defaults(parser) for name, parser in commands(make_parser())}
    assert found == PROMISED


def test_only_these_arguments_must_be_given() -> None:
    required = {
        (name, action.dest) for name, parser in commands(make_parser()) for action in parser._actions if action.required
    }
    takes_a_project = ("check", "init")
    with_target = {
        (name, "target") for name, given in PROMISED.items() if "target" in given and name not in takes_a_project
    }
    # The script is among what is left of the command line, so its absence is told by the command.
    assert required - {("run", "script")} == with_target | {
        ("run", "soften"),
        ("explain", "name"),
        ("completions", "shell"),
    }


def test_no_default_is_a_list_that_two_calls_share() -> None:
    first, second = (make_parser().parse_args(["check", "a:b", "--input", "2"]) for _ in range(2))
    assert first.input == second.input == ["2"]
    assert make_parser().parse_args(["check", "a:b"]).input == []
