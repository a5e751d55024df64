"""Example inputs of the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from softfx.cli.inputs import load_inputs, make_input, make_inputs, make_value
from softfx.cli.target import load_target
from softfx.errors import TargetError


def refusal(specs: list[str], values: list[str] | None = None) -> str:
    with pytest.raises(TargetError) as caught:
        make_inputs(specs, values or [], 0)
    return str(caught.value)


@pytest.mark.parametrize(
    ("spec", "shape", "dtype"),
    [
        ("2x3x4", (2, 3, 4), torch.float32),
        ("5", (5,), torch.float32),
        ("scalar", (), torch.float32),
        ("0x3", (0, 3), torch.float32),
        ("4x10:int64", (4, 10), torch.int64),
        ("2x8:bool", (2, 8), torch.bool),
        ("3:float16", (3,), torch.float16),
        ("3:bfloat16:0..1", (3,), torch.bfloat16),
        ("3:complex64", (3,), torch.complex64),
        ("3:0..1", (3,), torch.float32),
    ],
)
def test_a_shape_becomes_a_tensor(spec: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    ((tensor,), kwargs) = make_inputs([spec], [], 0)
    assert (tuple(tensor.shape), tensor.dtype, kwargs) == (shape, dtype, {})


def test_a_range_is_kept() -> None:
    (integers, floats), _ = make_inputs(["1000:int64:3..7", "1000:float32:-2..-1.5"], [], 0)
    assert set(integers.tolist()) == {3, 4, 5, 6}
    assert floats.min() >= -2
    assert floats.max() <= -1.5


def test_names_make_keyword_inputs_and_values_need_not_be_tensors() -> None:
    args, kwargs = make_inputs(["2", "mask=3:bool", "4"], ["num_classes=5", "average='macro'", "size=(1, 2)"], 0)
    assert [tuple(value.shape) for value in args] == [(2,), (4,)]
    assert kwargs["mask"].dtype == torch.bool
    assert (kwargs["num_classes"], kwargs["average"], kwargs["size"]) == (5, "macro", (1, 2))


def test_the_numbers_are_the_seeds_and_leave_torch_as_it_was() -> None:
    state = torch.random.get_rng_state()
    first, second, other = (make_inputs(["8", "8:int64:0..100"], [], seed)[0] for seed in (1, 1, 2))
    assert all(map(torch.equal, first, second))
    assert not torch.equal(first[0], other[0])
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("2x", "--input 2x: not a shape. Write [NAME=]SHAPE[:DTYPE][:LOW..HIGH], such as 2x3x32x32"),
        ("2,3", "--input 2,3: not a shape."),
        ("-1x3", "--input -1x3: not a shape."),
        ("3:int46", "--input 3:int46: 'int46' is not a dtype of torch. Did you mean 'int64'?"),
        ("3:int64:5..5", "--input 3:int64:5..5: torch cannot make this tensor:"),
        ("999999999999x999999999999", "torch cannot make this tensor:"),
    ],
)
def test_what_is_no_shape_gets_one_clear_message(spec: str, message: str) -> None:
    assert message in refusal([spec])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("5", "--value 5: not NAME=LITERAL."),
        ("average=macro", "--value average=macro: 'macro' is not a Python literal. A string needs quotes:"),
        ("x=open('f')", "is not a Python literal."),
    ],
)
def test_what_is_no_literal_gets_one_clear_message(value: str, message: str) -> None:
    assert message in refusal([], [value])


def test_a_name_given_twice_is_refused() -> None:
    assert "x is given twice" in refusal(["x=3"], ["x=4"])


@pytest.mark.parametrize(
    ("saved", "args", "kwargs"),
    [
        (torch.ones(2), 1, []),
        ((torch.ones(2), torch.zeros(3)), 2, []),
        ([torch.ones(2), 5], 2, []),
        ({"x": torch.ones(2), "k": 3}, 0, ["x", "k"]),
    ],
)
def test_saved_inputs_are_read(tmp_path: Path, saved: Any, args: int, kwargs: list[str]) -> None:
    path = tmp_path / "inputs.pt"
    torch.save(saved, path)
    loaded, named = load_inputs(str(path))
    assert (len(loaded), list(named)) == (args, kwargs)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("sprung"),))


def test_code_in_a_file_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save((Trap(),), "inputs.pt")
    with pytest.raises(TargetError, match="code is never loaded"):
        load_inputs("inputs.pt")
    assert not Path("sprung").exists()


@pytest.mark.parametrize(("content", "message"), [(None, "there is no such file"), (b"hello", "--load inputs.pt: ")])
def test_a_file_that_cannot_be_read_gets_one_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("inputs.pt").write_bytes(content)
    with pytest.raises(TargetError, match=message):
        load_inputs("inputs.pt")


def test_a_saved_number_is_no_input(tmp_path: Path) -> None:
    torch.save(3, tmp_path / "inputs.pt")
    with pytest.raises(TargetError, match="it holds a int"):
        load_inputs(str(tmp_path / "inputs.pt"))


# -- inputs that were made to break their reader -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        "1000000x1000000",
        "x".join(["9" * 30] * 2),
        "9" * 5_000,
        "4:float64:0.." + "9" * 400,
        "4:int64:0.." + "9" * 400,
        "4:int64:0.." + "9" * 30,
        "4:int64:5..1",
        "4:float32:5..1",
        "4:uint8:0..1000",
        "4:int8:-200..100",
        "4:int64:1.2.3..4",
        *(f"4:{name}" for name in ("qint8", "quint4x2", "bits8", "int4")),
    ],
)
def test_an_input_that_cannot_be_made_is_told_before_memory_is_taken(spec: str) -> None:
    with pytest.raises(TargetError, match=r"\A--input .*: torch cannot make this tensor: ") as caught:
        make_input(spec, torch.Generator())
    assert len(str(caught.value)) < 1_000


HOSTILE_LITERALS = [
    "[" * 100_000,
    "[" * 1_000 + "]" * 1_000,
    "\0",
    "9" * 5_000,
    "{[]: 1}",
    "-" * 20_000 + "1",
    "1+" * 20_000 + "1",
]


@pytest.mark.parametrize("text", HOSTILE_LITERALS)
def test_a_value_that_is_no_literal_is_told_whatever_python_makes_of_it(text: str) -> None:
    with pytest.raises(TargetError, match="is not a Python literal") as caught:
        make_value(f"a={text}")
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("text", HOSTILE_LITERALS)
def test_an_argument_of_a_target_that_is_no_literal_is_told(text: str) -> None:
    with pytest.raises(TargetError, match=r"is not a (call|literal)|cannot be called so"):
        load_target(f"torch.nn:Linear({text}, 1)")


@pytest.mark.parametrize("place", ["x" * 5_000 + ".py", "x" * 5_000, "a\0b.py", ".py", "/", os.devnull])
def test_a_place_that_is_no_file_is_told(place: str) -> None:
    with pytest.raises(TargetError, match=r"there is no (such file|module)|not a module name"):
        load_target(f"{place}:name")
