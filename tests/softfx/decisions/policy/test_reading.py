"""What is read from a policy, and the message for each mistake in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.softfx.decisions.policy.helpers import mistakes, resolve, write


def test_an_unknown_operation_names_the_nearest_one(tmp_path: Path) -> None:
    path = write(tmp_path, 'version = 1\n[[rule]]\nop = ["topk",\n  "argmx"]\naction = "soft"\n')
    expected = f"{path}:3: unknown operation 'argmx'. Did you mean 'argmax'? `softfx rules` lists all."
    assert mistakes(path) == [expected]


def test_all_mistakes_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = """
version = 2
prset = "smooth"
[default]
action = "sfot"
softness = -1
[[rule]]
op = "@kinks"
mode = "smoth"
[[rule]]
op = "topk"
temperature = 3
"""
    path = write(tmp_path, text)
    starts = [line.removeprefix(path).split(".")[0] for line in mistakes(path)]
    assert starts == [
        ":2: version = 2 is not known",
        ":3: unknown key 'prset'",
        ":5: action = 'sfot' is not legal",
        ":6: softness = -1 is not legal",
        ":8: unknown family '@kinks'",
        ":9: mode = 'smoth' is not legal",
        ":12: unknown key 'temperature'",
    ]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (
            {"default": {"action": "straight-through"}},
            "<dict> [default]: action = 'straight-through' is not legal. "
            "Use one of soft, straight_through, guard, keep. Did you mean 'straight_through'?",
        ),
        (
            {"rule": [{"op": "argmax", "mode": "hard"}]},
            "<dict> [[rule]] 1: mode = 'hard' is not legal. Use one of smooth, c0, c1, c2, tailed. "
            'To leave an operation hard write action = "keep".',
        ),
        (
            {"rule": [{"op": "argmax", "softness": True}]},
            "<dict> [[rule]] 1: softness = true is not legal. Use a number above 0, from 1e-18 to 1e+18. "
            'In units of the data it is { relative = 0.2 } or "auto".',
        ),
        (
            {"default": {"families": ["discret"]}},
            "<dict> [default]: families = ['discret'] is not legal. "
            "Use a list of discrete, kink, selection, random, unsafe, normalization, control. Did you mean 'discrete'?",
        ),
        (
            {"rule": {"op": "argmax"}},
            "<dict> [[rule]] 1: rule is a single table. Write each entry as [[rule]], with two brackets.",
        ),
        (
            {"rule": [{"op": "argmax"}]},
            "<dict> [[rule]] 1: this [[rule]] sets nothing. Give it an action or an option such as softness.",
        ),
        (
            {"rule": [{"op": "argmax", "method": "lapsum", "mode": "c0"}]},
            "<dict> [[rule]] 1: method 'lapsum' is not defined in mode 'c0'. Its modes: smooth, tailed.",
        ),
        (
            {"preset": "smoth"},
            "<dict>: unknown preset 'smoth'. Legal: gradients, straight-through, lifted, smooth, keep. "
            "Did you mean 'smooth'?",
        ),
    ],
)
def test_a_mistake_says_what_is_legal_and_what_is_near(policy: Any, message: str) -> None:
    assert mistakes(policy) == [message]


def test_an_option_that_no_named_operation_takes_is_a_mistake() -> None:
    (message,) = mistakes({"rule": [{"op": "relu", "action": "soft", "method": "softsort"}]})
    assert message.startswith("<dict> [[rule]] 1: relu takes no method. It takes ")
    assert message.endswith("`softfx explain relu` says more.")


@pytest.mark.parametrize("op", ["argmax", "@kink", "*"])
def test_a_guard_of_anything_but_an_unsafe_operation_is_a_mistake(op: str) -> None:
    (message,) = mistakes({"rule": [{"op": op, "action": "guard"}]})
    assert message.startswith(f"<dict> [[rule]] 1: action = 'guard' is only for unsafe operations, not for {op}.")


def test_a_method_without_indices_is_a_mistake_where_an_index_is_asked_for() -> None:
    (message,) = mistakes({"rule": [{"op": ["sort", "argmax"], "action": "soft", "method": "fast_soft_sort"}]})
    assert "method 'fast_soft_sort' gives no soft indices, which argmax needs. Methods with indices: " in message


def test_a_guard_by_default_must_be_for_the_unsafe_family() -> None:
    (message,) = mistakes({"default": {"action": "guard"}})
    assert "a guard cannot act on discrete operations" in message
    assert resolve({"default": {"action": "guard", "families": ["unsafe"]}}, "sqrt").action == "guard"


def test_a_misspelt_table_is_told_with_its_line(tmp_path: Path) -> None:
    (message,) = mistakes(write(tmp_path, 'version = 1\n\n[[rules]]\nop = "topk"\n'))
    assert ":3: unknown key 'rules'. Legal: version, preset, default, rule. Did you mean 'rule'?" in message


def test_selectors_and_families_in_the_wrong_table_are_explained() -> None:
    first, second = mistakes({"default": {"op": "topk"}, "rule": [{"families": ["kink"], "action": "soft"}]})
    assert "[default] holds for every site; selectors belong in a [[rule]]." in first
    assert 'A [[rule]] names families as op = "@discrete".' in second


def test_broken_toml_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "version = 1\n[default]\naction = soft\n")
    (message,) = mistakes(path)
    assert message.startswith(f"{path}:3: not valid TOML: Invalid value.")


def test_toml_that_ends_too_early_is_told_with_its_last_line(tmp_path: Path) -> None:
    (message,) = mistakes(write(tmp_path, 'version = 1\n[[rule]]\nop = ["topk"'))
    assert ":3: not valid TOML" in message


def test_what_is_neither_preset_nor_file_is_told_with_both() -> None:
    (message,) = mistakes("smoth")
    assert message.startswith("policy: 'smoth' is neither a preset nor a file. Presets: gradients, straight-through,")
    assert "Did you mean 'smooth'?" in message


def test_what_is_no_policy_at_all_is_told_with_its_value() -> None:
    assert mistakes(3)[0].startswith("policy: 3 is not a policy.")


def test_a_policy_is_data_and_never_evaluated() -> None:
    (message,) = mistakes({"default": {"softness": "__import__('os').getpid()"}})
    assert "is not legal. Use a number above 0, from" in message
