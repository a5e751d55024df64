"""What a call writes through views and aliases of parameters, and of tensors outside, is put back by softening."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.values.histories import history_of, is_leaf
from tests.helpers import EXECUTORS

X = torch.full((3, 4), 0.7)
OUTSIDE = torch.zeros(4)


class Writing(nn.Module):
    """Writes its weight as `write` does, then uses it."""

    def __init__(self, write: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0, 0.5]))
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        self.write(self.weight)
        return x.round() * self.weight


def set_item(weight: Tensor) -> None:
    with torch.no_grad():
        weight[0] += 1


def zero_a_row(weight: Tensor) -> None:
    with torch.no_grad():
        weight[:1].zero_()


def part_by_part(weight: Tensor) -> None:
    """Parts that overlap, in an order in which none is written first everywhere."""
    weight.data.mul_(2)
    weight.data[1:].add_(1)
    weight.detach()[:2].sub_(3)
    with torch.no_grad():
        weight[1:3].mul_(2)
        weight[2] = 5.0


def by_place(weight: Tensor) -> None:
    weight.data[torch.tensor([0, 2])] += 1


WRITES: dict[str, Callable[[Tensor], object]] = {
    "data": lambda weight: weight.data.mul_(2),
    "a part of data": lambda weight: weight.data[1:].clamp_(0, 1),
    "a detached part": lambda weight: weight.detach()[0].add_(1),
    "an item": set_item,
    "a row": zero_a_row,
    "parts that overlap": part_by_part,
    "places": by_place,
    "another shape": lambda weight: weight.data.view(2, 2).t()[0].copy_(torch.zeros(2)),
}


@pytest.mark.parametrize("policy", ["keep", "gradients", "lifted", "smooth"])
@pytest.mark.parametrize("name", WRITES)
def test_softening_leaves_a_parameter_as_it_is(name: str, policy: str) -> None:
    module = Writing(WRITES[name])
    before = module.weight.detach().clone()
    softfx.check(module, policy, example_inputs=(X,))
    softfx.soften(module, policy, example_inputs=(X,))
    assert torch.equal(module.weight, before)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", WRITES)
def test_a_softened_module_writes_as_the_original_does(name: str, executor: str) -> None:
    module, original = Writing(WRITES[name]), Writing(WRITES[name])
    soft = softfx.soften(module, example_inputs=(X,), executor=executor)
    for _ in range(3):
        assert torch.equal(soft(X), original(X)) and torch.equal(module.weight, original.weight)


def test_a_tensor_outside_of_modules_is_put_back() -> None:
    def program(x: Tensor) -> Tensor:
        OUTSIDE[1:].add_(1)
        OUTSIDE.view(2, 2)[0].sub_(1)
        return x.round() + OUTSIDE

    softfx.check(program, example_inputs=(X,))
    assert torch.equal(OUTSIDE, torch.zeros(4))


def test_a_view_that_torch_tells_nothing_of_has_no_history() -> None:
    weight = torch.zeros(3, requires_grad=True)
    with torch.no_grad():
        view = weight[1:].add_(1)
    with pytest.raises(RuntimeError, match="no_grad mode"):
        _ = view.grad_fn
    assert history_of(view) is None and not is_leaf(view)
    assert history_of(weight * 2) is not None and is_leaf(weight) and not is_leaf(weight * 2)
