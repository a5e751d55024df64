"""Margins of comparisons: the numbers that torch compares, and derivatives of operands as they were."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from softfx.control.provenance import Provenance
from tests.softfx.control.programs import policy


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("number", [0.4, 0.1, 16_777_217])
def test_a_number_of_python_is_what_torch_compares_with(dtype: torch.dtype, number: float) -> None:
    x = torch.tensor(number, dtype=dtype)
    for compare, operands in ((Tensor.gt, (x, number)), (Tensor.le, (x, number))):
        margin = Provenance().margin(compare, operands, False)
        assert margin is not None and margin.number == 0.0 and margin.value.dtype is dtype


def test_the_parts_of_a_margin_are_its_operands_with_a_derivative() -> None:
    left, right = torch.tensor(0.7, requires_grad=True), torch.tensor(0.2)
    margin = Provenance().margin(Tensor.lt, (left, right), True)
    assert margin is not None and margin.number == pytest.approx(-0.5)
    ((tensor, slope),) = margin.parts(3.0)
    assert tensor is left and slope == -3.0


def written(x: Tensor) -> Tensor:
    """An operand is written between the condition and the read, and behind it."""
    total = x * 1.0
    above = total > 0.3
    total.mul_(3.0)
    result = total + 1.0 if above else total - 1.0
    total.add_(1.0)
    return result


def unwritten(x: Tensor) -> Tensor:
    return x * 3.0 + 1.0 if x > 0.3 else x * 3.0 - 1.0


def gradients(program: Callable[[Tensor], Tensor]) -> list[Tensor]:
    x = torch.tensor(0.4, requires_grad=True)
    soft = softfx.soften(program, policy(samples=0, softness=0.5), example_inputs=(x,))
    return [torch.autograd.grad(soft(x), x)[0] for _ in range(4)]


def test_operands_that_are_written_later_count_as_they_were() -> None:
    found = gradients(written)
    torch.testing.assert_close(found, gradients(unwritten))
    assert all(torch.equal(each, found[0]) for each in found) and found[0] > 3.0
