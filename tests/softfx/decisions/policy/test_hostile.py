"""Policies that were made to break their reader: each is a PolicyError with the place, none takes long."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import softfx
from softfx.decisions.policy import PRESETS, Policy, Resolved
from softfx.decisions.policy.schema import OPTIONS, SELECTORS, SETTINGS
from softfx.decisions.policy.toml import Lines
from softfx.errors import PolicyError
from tests.softfx.decisions.policy.helpers import mistakes, write

DEEP: list[Any] = []
for _ in range(5_000):
    DEEP = [DEEP]
ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
VALUES: dict[str, Any] = {
    "a deep list": DEEP,
    "a list in itself": ENDLESS,
    "a list": ["smooth"],
    "a list of lists": [["smooth"], [[]]],
    "a table": {"a": 1},
    "an integer beyond floats": 10**400,
    "an integer of 5,000 digits": 10**5000,
    "a negative one": -(10**400),
    "infinity": math.inf,
    "no number": math.nan,
    "a denormal number": 5e-324,
    "a tiny number": 1e-30,
    "a huge number": 1e300,
    "a long text": "x" * 100_000,
    "text of other kinds": "\x00\x1b[2J\u202e",
    "nothing": None,
    "an empty text": "",
    "an empty list": [],
    "true": True,
    "bytes": b"smooth",
    "a tensor": torch.ones(2),
}
FIELDS = [*SETTINGS, *OPTIONS, *SELECTORS, "families", "strange"]
# What a field takes of the values above.
TAKEN = {
    *((key, "true") for key, legal in (SETTINGS | OPTIONS).items() if legal.accepts(True)),
    *((key, name) for key in ("module", "source") for name in ("a list", "a long text", "text of other kinds")),
    *((key, "an empty text") for key in ("module", "source")),
    ("families", "an empty list"),
    ("families", "nothing"),
}


def load(policy: Any) -> str:
    """The message about a policy, quickly; empty for one that is fine."""
    start = time.perf_counter()
    try:
        Policy.load(policy)
        text = ""
    except PolicyError as error:
        text = str(error)
    assert time.perf_counter() - start < 5
    assert len(text) < 20_000
    return text


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("key", FIELDS)
def test_a_value_of_any_kind_is_taken_or_told(key: str, name: str) -> None:
    table = "default" if key == "families" else "rule"
    entry = {"op": "round", "action": "soft", key: VALUES[name]}
    text = load({"default": {key: VALUES[name]}} if table == "default" else {"rule": [entry]})
    if (key, name) in TAKEN:
        return
    assert text.startswith("<dict> [default]: " if table == "default" else "<dict> [[rule]] 1: ")
    assert key in text or key == "op"


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("key", ["version", "preset", "default", "rule", "strange"])
def test_a_part_of_any_kind_is_told(key: str, name: str) -> None:
    empty = {("rule", "an empty list")}
    assert ((key, name) in empty) == (load({key: VALUES[name]}) == "")


@pytest.mark.parametrize("name", [name for name in VALUES if name not in ("nothing", "a table")])
def test_a_policy_of_any_other_kind_is_told(name: str) -> None:
    assert load(VALUES[name]).startswith("policy: ")


@pytest.mark.parametrize("key", [1, None, (1, 2), b"op", "x" * 10_000, "\x1b", ""])
def test_a_key_of_any_kind_is_told(key: Any) -> None:
    assert "unknown key" in load({key: 1})
    assert "unknown key" in load({"rule": [{"op": "round", "action": "soft", key: 1}]})


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "taken", "refused"),
    [
        ("softness", (1e-18, 1e-6, 1, 100, 1e18), (0, -1.0, 5e-324, 1e-30, 1e19, math.inf, math.nan, 10**400, "1")),
        ("neighbor_radius", (1, 5, 100), (0, -1, 101, 10_000_000, 10**30, 1.0, 5.5, True, math.inf)),
    ],
)
def test_each_number_has_bounds(key: str, taken: tuple[Any, ...], refused: tuple[Any, ...]) -> None:
    for value in taken:
        assert load({"rule": [{"op": "round", "action": "soft", key: value}]}) == ""
    for value in refused:
        assert f"{key} = " in load({"rule": [{"op": "round", "action": "soft", key: value}]})


def test_no_option_takes_a_number_without_bounds() -> None:
    for key, legal in OPTIONS.items():
        for value in (1e300, -1e300, 10**30, math.inf, math.nan):
            assert not legal.accepts(value), key


@pytest.mark.parametrize("value", [5e-324, 1e300, math.inf, math.nan, 10**400, "1", True])
def test_set_softness_has_the_same_bounds(value: Any) -> None:
    soft = softfx.soften(torch.round, "smooth", example_inputs=(torch.ones(2),))
    with pytest.raises(PolicyError, match="A softness is a number above 0"):
        softfx.set_softness(soft, value)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("version = 1\na = " + "[" * 100_000 + "]" * 100_000, 2, "nested too deeply"),
        ("version = 1\n\na = " + "{a = " * 20_000 + "1" + "}" * 20_000, 3, "nested too deeply"),
        ("[default]\nsoftness = " + "9" * 400, 2, "softness = a whole number beyond all floats is not legal"),
        ("[default]\nsoftness = " + "9" * 5_000, 2, "too many digits"),
        ("[default]\nsoftness = 1e400", 2, "softness = inf is not legal"),
        ('\n\npreset = ["smooth"]', 3, "unknown preset"),
        ("version = 1\n\0", 2, "not valid TOML"),
        ("version = 1\n# \x1b[2J", 2, "not valid TOML"),
        ("version = 1\nversion = 1", 2, "not valid TOML"),
        ('[[rule]]\nop = "round"\naction = "soft"\nneighbor_radius = ' + "9" * 30, 4, "neighbor_radius"),
    ],
)
def test_a_hostile_file_is_told_with_its_line(tmp_path: Path, text: str, line: int, told: str) -> None:
    path = write(tmp_path, text)
    message = load(path)
    assert message.startswith(f"{path}:{line}: ")
    assert told in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x80", b"a = 1 # \xe9"])
def test_a_file_that_is_no_utf_8_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "policy.toml").write_bytes(content)
    assert "the policy file is not UTF-8 text" in load(str(tmp_path / "policy.toml"))


def test_a_byte_order_mark_is_no_part_of_a_policy(tmp_path: Path) -> None:
    assert load(write(tmp_path, '\ufeffversion = 1\npreset = "smooth"\n')) == ""


@pytest.mark.parametrize("name", [".", os.devnull, "/dev/zero", "x" * 5_000, "a\0b", "", "\udc80.toml", "é\n.toml"])
def test_what_is_no_ordinary_file_is_told(name: str) -> None:
    assert "is neither a preset nor a file" in load(name)


def test_a_path_may_be_of_bytes(tmp_path: Path) -> None:
    write(tmp_path, 'preset = "smooth"\n')

    class OfBytes:
        def __fspath__(self) -> bytes:
            return os.fsencode(tmp_path / "policy.toml")

    policy: Any = OfBytes()
    assert Policy.load(policy).preset == "smooth"


def test_a_file_of_many_megabytes_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, "# " + "x" * 17 * 2**20)
    assert "17,825,794 bytes" in load(path)


def test_twenty_thousand_entries_are_read_and_as_many_mistakes_counted(tmp_path: Path) -> None:
    start = time.perf_counter()
    Policy.load(write(tmp_path, '[[rule]]\nop = "round"\naction = "soft"\n' * 20_000))
    found = mistakes(write(tmp_path, '[[rule]]\nop = "runod"\naction = "soft"\n' * 20_000))
    empty = mistakes(write(tmp_path, "[[rule]]\n" * 20_000))
    assert time.perf_counter() - start < 60  # 10 s on an idle machine
    for told in (found, empty):
        assert len(told) == 101 and "19900 more mistakes" in told[-1]


@pytest.mark.parametrize(
    "line", ['["a' + " " * 50_000 + 'b"]', "[a]" + " " * 50_000 + "x", "[" + "a." * 50_000, '"' * 9_999]
)
def test_line_numbers_are_found_in_no_time_whatever_stands_on_a_line(line: str) -> None:
    start = time.perf_counter()
    Lines(f"{line}\n[default]\n")
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "pattern", ["*a" * 30 + "b", "[", "[]", "[!", "[z-a]", "[[a]", "a" * 1_000, "(?P<", "\\", "[^", "**"]
)
def test_a_pattern_of_any_form_matches_or_does_not(pattern: str) -> None:
    policy = Policy.load({"rule": [{"op": "round", "action": "soft", "module": pattern, "source": pattern}]})
    start = time.perf_counter()
    resolved = policy.resolve(op="round", code="SX401", family="discrete", module="a" * 1_000, file="a" * 1_000, line=1)
    assert isinstance(resolved, Resolved)
    assert time.perf_counter() - start < 1


# -- defaults ----------------------------------------------------------------------------------------------------------

PROMISED = {
    "gradients": {"action": "straight_through", "families": ["discrete", "unsafe"], "softness": "auto"},
    "straight-through": {"action": "straight_through", "families": ["discrete", "kink", "unsafe"], "softness": "auto"},
    "lifted": {
        "action": "straight_through",
        "families": ["discrete", "kink", "unsafe", "control"],
        "softness": "auto",
        "lift_no_grad": True,
        "lift_detach": True,
    },
    "smooth": {"action": "soft", "families": ["discrete", "kink", "unsafe"]},
    "keep": {"action": "keep", "families": []},
}


def test_the_presets_and_what_a_policy_does_not_say_are_a_promise() -> None:
    presets: Mapping[str, Any] = PRESETS
    assert {name: preset["default"] for name, preset in presets.items()} == PROMISED
    assert Policy.load(None).preset == Policy.load({}).preset == "gradients"
    resolved = Policy.load({}).resolve(op="round", code="", family="discrete", module="", file="", line=1)
    expected = Resolved(
        action="straight_through",
        options={"softness": {"relative": 0.3}, "mode": "smooth"},
        scope="region",
        estimator=None,
        lift_no_grad=False,
        lift_detach=False,
        allow_partial=True,
        on_blocked="keep",
        outputs=None,
        decided_by="preset gradients",
        auto=True,
        auto_scope=True,
        auto_estimator=True,
        named=False,
    )
    assert resolved == expected


def test_the_values_of_each_setting_are_a_promise() -> None:
    assert {key: legal.names for key, legal in SETTINGS.items() if legal.names} == {
        "action": ("soft", "straight_through", "guard", "keep"),
        "scope": ("operation", "region", "linear", "decision", "module", "model"),
        "estimator": (
            "soft",
            "identity",
            "reinmax",
            "rotation",
            "gumbel",
            "exchange",
            "turn",
            "difference",
            "blend",
            "membership",
        ),
        "on_blocked": ("keep", "error"),
        "outputs": ("distribution", "hard"),
    }
    assert {key for key, legal in SETTINGS.items() if not legal.names} == {
        "lift_no_grad",
        "lift_detach",
        "allow_partial",
    }
