"""x.view(...) of a tensor whose soft value lies otherwise in memory, and of bools as integers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR, gradient

X = torch.tensor([[1.2, -2.7, 0.6, 0.1], [0.4, 3.3, -1.1, 0.8], [-1.6, 0.2, 2.3, -0.5]])


@EXECUTOR
def test_a_view_of_a_transposed_choice_keeps_its_derivative(executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        chosen = torch.zeros_like(x).scatter_(-1, x.argmax(-1, keepdim=True), 1.0)
        flat = chosen.transpose(0, 1).view(-1)  # x lies by columns, and so does what is made like it
        return flat * torch.arange(12.0)

    columns = X.mT.contiguous().mT
    soft = softfx.soften(program, example_inputs=(columns,), executor=executor)
    assert torch.equal(soft(columns), program(columns))
    assert bool(gradient(soft, columns).any())


@EXECUTOR
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
def test_bools_seen_as_integers_are_counted(dtype: torch.dtype, executor: str) -> None:
    def seen(x: Tensor) -> Tensor:
        return (x > 0).view(dtype).sum(-1) * torch.arange(3.0)

    def cast(x: Tensor) -> Tensor:
        return (x > 0).to(dtype).sum(-1) * torch.arange(3.0)

    soft, other = (softfx.soften(program, example_inputs=(X,), executor=executor) for program in (seen, cast))
    assert torch.equal(soft(X), seen(X)) and bool(gradient(soft, X).any())
    torch.testing.assert_close(gradient(soft, X), gradient(other, X))


def test_the_bits_of_integers_are_told_to_be_hard() -> None:
    soft = softfx.soften(lambda x: x.argsort(-1).view(torch.float64), example_inputs=(X,), allow_unused=True)
    assert "reads the bits of its operand as another type" in str(soft.report)
