"""No call leaves anything behind: not a tensor, not even in a cycle, and the process does not grow."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import softfx
from tests.helpers import EXECUTORS, leaves
from tests.meters import live_tensors, resident_bytes
from tests.softfx.cases import CASES

X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


def _written_through_views(x: Tensor) -> Tensor:
    y = torch.zeros_like(x).scatter_(-1, x.argmax(-1, keepdim=True), 1.0)
    (y * 1).transpose(0, 1).mul_(1.2)
    y[y > 0.5] = 2.0
    return y * x


def _filtered(x: Tensor) -> Tensor:
    kept = x.masked_fill(x < x.topk(2, -1).values[:, -1:], -torch.inf)
    return kept.softmax(-1) * x


PROGRAMS: dict[str, Callable[[Tensor], Any]] = {
    "selection": lambda x: x[x > 0].sum() + x[x.sum(-1) > 0].norm(dim=1).sum(),
    "views": _written_through_views,
    "filters": _filtered,
    "entropy": lambda x: -(x.softmax(-1) * x.softmax(-1).log()).sum(-1),
    "means of masks": lambda x: ((x > 0).float().mean(-1) > 0.5).float() * x.sum(-1),
    "products of masks": lambda x: (x > 0).float() @ (x > 0.2).float().T,
    "vmap": torch.func.vmap(lambda row: row[row.argmax()] + row.round().sum()),
    "checkpoint": lambda x: checkpoint(lambda x: (x > 0).float() * x.ceil(), x, use_reentrant=False),
    "branches": lambda x: x.round() if x.max() > 0 else x.floor(),
    "sums in place": lambda x: torch.zeros(6).index_add_(0, x[:, 0].round().long().clamp(0, 5), x[:, 1]),
    "a softened function": softfx.soften(lambda x: x.round() * x, example_inputs=(X,)),
}
BUILDERS: dict[str, Callable[[], tuple[Any, tuple[Any, ...]]]] = {
    **CASES,
    **{name: lambda program=program: (program, (X,)) for name, program in PROGRAMS.items()},
}
POLICIES = ("gradients", "smooth")


def _calls(name: str, policy: str, executor: str) -> Callable[[int], None]:
    """A function that makes so many calls of the softened program, with their gradients."""
    target, inputs = BUILDERS[name]()
    inputs = tuple(x.requires_grad_() if x.is_floating_point() else x for x in (x.clone() for x in inputs))
    soft = softfx.soften(target, policy, example_inputs=inputs, executor=executor, allow_unused=True)

    def call(times: int) -> None:
        for _ in range(times):
            losses = [result.sum() for result in leaves(soft(*inputs)) if result.requires_grad]
            if losses:
                torch.autograd.grad(sum(losses), inputs[0], allow_unused=True)

    return call


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", BUILDERS)
def test_a_call_leaves_no_tensor_alive(name: str, policy: str) -> None:
    """Counted without the garbage collector, so that a cycle would be found, too."""
    call = _calls(name, policy, "auto")
    call(8)  # the first ones are recorded and traced, and what of a trace is the same in each call is kept
    gc.collect()
    gc.disable()
    try:
        before = live_tensors()
        call(3)
        assert live_tensors() == before
    finally:
        gc.enable()


@pytest.mark.memory
@pytest.mark.parametrize("executor", [*EXECUTORS, "auto"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", BUILDERS)
def test_thousands_of_calls_leave_the_process_as_it_was(name: str, policy: str, executor: str) -> None:
    try:
        call = _calls(name, policy, executor)
    except softfx.CaptureError:
        pytest.skip("no graph holds the call")
    call(50)
    gc.collect()
    tensors, held = live_tensors(), resident_bytes()
    call(4950)
    gc.collect()
    assert live_tensors() == tensors
    assert held is None or (resident_bytes() or 0) - held < 5e6
