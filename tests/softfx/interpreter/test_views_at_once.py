"""Several views that one call gives: the program writes them where it has no derivative, and so does what is softened.

torch refuses such writes where a derivative is recorded, which softening is the first to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR, identical

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
DECIDED: dict[str, Callable[[Tensor], Tensor]] = {
    "a mask": lambda x: (x > 0).float(),
    "made of a mask": lambda x: (x > 0).double().exp(),
    "a choice": lambda x: F.one_hot(x.argmax(-1), 5).float() * 3,
    "integers": lambda x: (x > 0).long() * 2,
}
SPLITS: dict[str, Callable[[Tensor], Sequence[Tensor]]] = {
    "split": lambda y: torch.split(y, 2, 0),
    "sizes": lambda y: torch.split(y, [1, 3]),
    "chunk": lambda y: torch.chunk(y, 2, 1),
    "unbind": lambda y: y.unbind(-1),
    "tensor_split": lambda y: torch.tensor_split(y, 3, dim=0),
    "hsplit": lambda y: y.hsplit([2]),
    "vsplit": lambda y: torch.vsplit(y, 2),
    "iteration": lambda y: list(y),
}


@EXECUTOR
@pytest.mark.parametrize("policy", ["gradients", "lifted"])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("decided", DECIDED)
def test_they_can_be_written(decided: str, split: str, policy: str, executor: softfx.api.Executor) -> None:
    def program(x: Tensor) -> Tensor:
        y = DECIDED[decided](x)
        SPLITS[split](y)[1].mul_(3)
        return y * x

    x = X.clone().requires_grad_()
    soft = softfx.soften(program, policy, example_inputs=(x,), executor=executor)
    result = soft(x)
    assert identical(result, program(x))
    assert torch.autograd.grad(result.sum(), x)[0].isfinite().all()


def test_they_can_be_written_by_a_program_that_shares_its_policy_with_one_that_writes_nothing() -> None:
    policy, x = softfx.Policy.load("gradients"), X.clone().requires_grad_()

    def reads(x: Tensor) -> Tensor:
        return x.round() * x.exp().chunk(2, 1)[0].sum()

    def writes(x: Tensor) -> Tensor:
        y = (x > 0).float().exp()
        y.chunk(2, 1)[0].zero_()
        return y * x

    for program in (reads, writes):
        soft = softfx.soften(program, policy, example_inputs=(x,), executor="eager")
        assert identical(soft(x), program(x))


def test_a_shadow_can_be_written_in_a_branch_that_is_first_met_later() -> None:
    def program(x: Tensor, writes: bool) -> Tensor:
        y = (x > 0).float()
        parts = torch.split(y, 2)
        if writes:
            parts[1].zero_()
        return y * x

    x = X.clone().requires_grad_()
    soft = softfx.soften(program, example_inputs=(x, False))
    assert identical(soft(x, False), program(x, False))
    assert identical(soft(x, True), program(x, True))


@pytest.mark.parametrize("calls", [0, 2, 4])
@pytest.mark.parametrize("split", SPLITS)
def test_they_can_be_written_in_a_branch_that_is_first_met_later(split: str, calls: int) -> None:
    """As a call is interpreted, recorded, or goes by the recording."""

    def program(x: Tensor) -> Tensor:
        made = (x > 0).float() * 2
        first = SPLITS[split](made)[0]
        if x.sum() > 0:
            first.mul_(3)
        return made * x

    soft = softfx.soften(program, example_inputs=(-X.abs(),))
    for _ in range(calls):
        soft(-X.abs().requires_grad_())
    x = X.abs().requires_grad_()
    assert identical(soft(x), program(x))
    assert torch.autograd.grad(soft(x).sum(), x)[0].isfinite().all()
