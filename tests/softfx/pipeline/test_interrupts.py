"""An interrupt at any operator of torch, also one of softfx, leaves modes, module and random state as they were."""

from __future__ import annotations

import copy
import sys
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

import softfx

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


class InterruptAt(TorchDispatchMode):
    """Raises KeyboardInterrupt at one of the calls of operators, as Ctrl-C may."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return func(*args, **(kwargs or {}))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.gate, self.seen = nn.BatchNorm1d(3), nn.Linear(3, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        scores = self.gate(self.norm(x + torch.rand(4, 3)))
        with torch.no_grad():
            scale = x.abs().amax(-1, keepdim=True)
        y = torch.zeros_like(x).scatter(-1, scores.argmax(-1, keepdim=True), 1.0)
        y[x > 0] = 0.5
        return (y * scores / scale).round() + torch.where(x > 0, x * x.log(), 0.0)


def state_of(model: nn.Module) -> list[Any]:
    modes = (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"))
    stacks = (len(torch.overrides._get_current_function_mode_stack()), len(_get_current_dispatch_mode_stack()))
    return [modes, stacks, sys.getprofile(), threading.getprofile(), sorted(vars(model)), model.training]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("part", range(5))
def test_an_interrupted_soften_leaves_no_trace(policy: str, part: int) -> None:
    model = Model()
    with (counted := InterruptAt(-1)):
        softfx.soften(copy.deepcopy(model), policy, example_inputs=(X,), executor="eager")
    at = max(1, (-1 - counted.left) * part // 5)
    before, weights, draws = state_of(model), copy.deepcopy(model.state_dict()), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt), InterruptAt(at):
        softfx.soften(model, policy, example_inputs=(X,), executor="eager")
    assert state_of(model) == before and same(model.state_dict(), weights) and model.seen == 0
    assert torch.equal(torch.get_rng_state(), draws)


@pytest.mark.parametrize("part", range(5))
def test_an_interrupted_call_leaves_the_modes_and_the_next_call_is_right(part: int) -> None:
    model = Model()
    soft = softfx.soften(model, example_inputs=(X,), executor="eager")
    torch.manual_seed(1)
    with (counted := InterruptAt(-1)):
        copy.deepcopy(soft)(X)
    at, before = max(1, (-1 - counted.left) * part // 5), state_of(soft)
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt), InterruptAt(at):
        soft(X)
    assert state_of(soft) == before
    weights = copy.deepcopy(soft.state_dict())
    twin = copy.deepcopy(model)
    twin.load_state_dict(weights)
    results = []
    for run in (soft, twin):
        torch.manual_seed(2)
        results.append(run(X).detach())
    assert torch.equal(*results)
