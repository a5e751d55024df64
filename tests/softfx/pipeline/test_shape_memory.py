"""Calls on fake tensors are worked out once per combination of shapes, and in-place ones each time."""

from __future__ import annotations

import torch
from torch import Tensor

from softfx import torch_private as private
from softfx.pipeline.shape_memory import ShapeMemory


class Counted:
    """A function that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor, *others: object, **options: object) -> Tensor:
        self.calls += 1
        return x.t().contiguous() if options.get("turned") else x + 1

    def in_place(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


def fakes(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [torch.empty(shape, dtype=dtype) for shape in shapes]


def test_the_same_shapes_are_worked_out_once_and_give_tensors_of_their_own() -> None:
    memory, function = ShapeMemory(), Counted()
    with private.FakeTensorMode():
        first, second = fakes((2, 3), (2, 3))
        one, other = memory.of(function, (first,), {}), memory.of(function, (second,), {})
    assert function.calls == 1 and one is not other
    assert one.shape == other.shape == (2, 3) and one.stride() == other.stride() and one.dtype == other.dtype


def test_shapes_dtypes_strides_arguments_and_grad_mode_tell_calls_apart() -> None:
    memory, function = ShapeMemory(), Counted()
    with private.FakeTensorMode():
        (x,) = fakes((2, 3))
        calls = [
            ((x,), {}),
            ((torch.empty(3, 2),), {}),
            ((torch.empty(3, 2).t(),), {}),
            ((torch.empty(2, 3, dtype=torch.float64),), {}),
            ((x, 1), {}),
            ((x, 1.0), {}),
            ((x, True), {}),
            ((x, [slice(0, 1)]), {}),
            ((x,), {"turned": True}),
        ]
        for args, kwargs in calls:
            memory.of(function, args, kwargs)
        with torch.no_grad():
            memory.of(function, (x,), {})
    assert function.calls == len(calls) + 1


def test_what_returns_its_operand_or_has_no_key_is_made_each_time() -> None:
    memory, function = ShapeMemory(), Counted()
    with private.FakeTensorMode():
        (x,) = fakes((2, 3))
        for _ in range(2):
            assert memory.of(function.in_place, (x,), {}) is x
        assert function.calls == 2
        for _ in range(2):
            memory.of(function, (x, {1, 2}), {})  # a set cannot be hashed
    assert function.calls == 4
