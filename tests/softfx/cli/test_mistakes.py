"""Mistakes on the command line: one clear message for each, and status 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.softfx.cli.programs import Run, X


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "no_such_module:build"), "no_such_module: there is no module 'no_such_module'"),
        (("check", "router_models:biuld"), "router_models: it has no 'biuld'. Did you mean 'build'?"),
        (("check", "router_models"), "router_models: no name in it. Write package.module:name"),
        (("check", "missing.py:build"), "missing.py: there is no such file."),
        (("check", "router_models:build"), "router_models:build: it needs x, and 0 inputs were given."),
        (("check", "router_models:build", "--input", "2x"), "--input 2x: not a shape."),
        (("check", "router_models:build", "--input", "2x5"), "mat1 and mat2 shapes cannot be multiplied"),
        (("check", "router_models:raises", *X), "the third size must be even"),
        (("check", "router_models:build", *X, "--policy", "smoth"), "'smoth' is neither a preset nor a file."),
        (("check", "router_models:build", *X, "--policy", "broken.toml"), "broken.toml:3: not valid TOML:"),
        (
            ("check", "router_models:build", *X, "--policy", "unknown.toml"),
            "unknown.toml:2: unknown operation 'argmx'.",
        ),
        (
            ("check", "router_models:build", *X, "--policy", "idle.toml"),
            "idle.toml:1: this entry matches none of the 2",
        ),
        (("check", "router_models:build", *X, "--set", "softness"), "--set softness: not [OP.]KEY=VALUE."),
        (("check", "router_models:build", *X, "--set", "softnes=1"), "--set softnes=1: unknown key 'softnes'."),
        (("check", "router_models:pick", *X, "--load", "no.pt"), "--load no.pt: there is no such file."),
        (("soften", "router_models:build", *X, "--out", "no/where.py"), "--out no/where.py: it cannot be written:"),
        (("explain", "argmx"), "unknown rule 'argmx'. Did you mean 'argmax'?"),
    ],
)
def test_a_mistake_is_one_message_on_stderr_and_status_2(softfx: Run, arguments: tuple[str, ...], message: str) -> None:
    Path("broken.toml").write_text("version = 1\naction = [\n")
    Path("unknown.toml").write_text('[[rule]]\nop = "argmx"\naction = "soft"\n')
    Path("idle.toml").write_text('[[rule]]\nop = "topk"\naction = "soft"\n')
    answer = softfx(*arguments)
    assert (answer.status, answer.out) == (2, "")
    assert message in answer.err
    assert "Traceback" not in answer.err
    told = [line for line in answer.err.splitlines() if not line.startswith(("softfx: taking", "printed by"))]
    assert len(told) == 1
    assert told[0].startswith("softfx: ")


def test_an_error_of_the_model_says_where_it_was_raised(softfx: Run) -> None:
    assert "router_models.py:" in softfx("check", "router_models:raises", *X).err


def test_the_traceback_is_shown_when_asked_for(softfx: Run) -> None:
    answer = softfx("check", "router_models:raises", *X, "--traceback")
    assert answer.status == 2
    assert "Traceback (most recent call last)" in answer.err


@pytest.mark.parametrize(
    "arguments", [("chek",), ("diff",), ("check", "a:b", "--format", "xml"), ("check", "a:b", "--fail-on", "x")]
)
def test_wrong_usage_is_status_2(softfx: Run, arguments: tuple[str, ...]) -> None:
    answer = softfx(*arguments)
    assert answer.status == 2
    assert answer.err.startswith("usage: softfx")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chekc", "router_models:build"), "softfx: error: argument COMMAND: invalid choice: 'chekc'"),
        (("CHECK",), "Did you mean 'check'?"),
        (
            ("check", "router_models:build", "--inptu", "2x4"),
            "unrecognized arguments: --inptu 2x4. Did you mean '--input'?",
        ),
        (("check", "router_models:build", "--polcy=smooth"), "Did you mean '--policy'?"),
        (
            ("lock", "router_models:build", "--tolerance", "1"),
            "softfx lock: error: unrecognized arguments: --tolerance",
        ),
        (("check", "router_models:build", "--format", "jsn"), "Did you mean 'json'?"),
        (("check", "router_models:build", "--fail-on", "blokked"), "Did you mean 'blocked'?"),
        (("policy", "shwo"), "Did you mean 'show'?"),
        (("completions", "bsh"), "Did you mean 'bash'?"),
        (("check", "router_models:build", "--\x1b[2J"), "unrecognized arguments: --\\x1b[2J."),
    ],
)
def test_wrong_usage_names_what_was_probably_meant(softfx: Run, arguments: tuple[str, ...], message: str) -> None:
    answer = softfx(*arguments)
    assert (answer.status, answer.out) == (2, "")
    assert message in answer.err


def test_an_input_for_an_argument_that_is_not_there_is_named(softfx: Run) -> None:
    for words in (("--input", "scores=2x4"), ("--value", "scores=1"), ("--input", "2x4", "--input", "scores=2x4")):
        answer = softfx("check", "router_models:build", *words)
        assert answer.status == 2
        assert "router_models:build: it has no argument 'scores'. It takes (x)." in answer.err
