"""Capturing leaves no trace, whichever frontend looks and whether it succeeds or not."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.capture.held import content_of, differs, refill
from softfx.errors import CaptureError
from tests.softfx.capture.models import FRONTENDS, Configured


class Stateful(nn.Module):
    """Everything a careless look would change."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.linear.bias.requires_grad_(False)
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(6))
        self.generator = torch.Generator().manual_seed(3)
        self.calls = 0
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = self.drop(self.norm(self.linear(x)))
        seen: Tensor = self.seen  # type: ignore[assignment]
        seen += y.detach().sum(0)
        self.last = y
        y = y * random.random() * np.random.rand()
        return (y + torch.rand(6, generator=self.generator)).round()


class Branching(Stateful):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if bool(y.sum() > 0) else -y


def snapshot(module: Stateful) -> list[Any]:
    tensors = [*module.parameters(), *module.buffers()]
    numpy_state = np.random.get_state()
    return [
        [id(tensor) for tensor in tensors],
        [tensor.detach().clone() for tensor in tensors],
        [tensor.requires_grad for tensor in tensors],
        [tensor.grad for tensor in tensors],
        [part.training for part in module.modules()],
        [sorted(part.__dict__) for part in module.modules()],
        torch.get_rng_state(),
        random.getstate(),
        [numpy_state[1].tolist(), numpy_state[2]],  # type: ignore[index]
        module.generator.get_state(),
        (module.calls, module.last),
        torch.is_grad_enabled(),
    ]


def flat(tree: Any) -> Iterator[Any]:
    if isinstance(tree, tuple | list):
        for item in tree:
            yield from flat(item)
    else:
        yield tree


@pytest.mark.parametrize("kind", [Stateful, Branching])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_capturing_leaves_no_trace_whether_it_succeeds_or_not(
    frontend: str, training: bool, kind: type[Stateful]
) -> None:
    torch.manual_seed(0)
    module = kind().train(training)
    x = torch.randn(4, 6)
    before, x_before = snapshot(module), x.clone()
    try:
        softfx.check(module, example_inputs=(x,), capture=frontend)
    except CaptureError:
        assert frontend != "eager"
    for old, new in zip(flat(before), flat(snapshot(module)), strict=True):
        assert torch.equal(old, new) if isinstance(old, Tensor) else old == new
    assert torch.equal(x, x_before) and not x.requires_grad and x.grad is None


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_capturing_disturbs_no_compiled_function_and_no_globals(frontend: str) -> None:
    compilations = []

    def backend(module: Any, inputs: Any) -> Any:
        compilations.append(module)
        return module.forward

    module = Configured()
    compiled = torch.compile(module, backend=backend)
    x = torch.randn(5, 6)
    compiled(x)
    count, names = len(compilations), set(globals())
    with torch._dynamo.config.patch(recompile_limit=1):  # more looks than a code object may be compiled
        for _ in range(2):
            softfx.check(module, example_inputs=(x,), capture=frontend)
        compiled(x)
    assert len(compilations) == count and set(globals()) == names


class ByName(dict[str, int]):
    """A dict that stores under other keys than it is given, and whose `get` takes one argument."""

    def __setitem__(self, key: object, value: int) -> None:
        super().__setitem__(type(key).__name__, value)

    def get(self, key: object) -> int:  # type: ignore[override]  # as third-party code has it
        return super().get(type(key).__name__, 0)


def test_containers_are_read_and_put_back_past_what_their_class_makes_of_it() -> None:
    registry = ByName()
    registry[1] = 5
    ordered = OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    containers: list[Any] = [registry, ordered, [1, 2], {1, 2}, deque([1, 2])]
    for container in containers:
        before = content_of(container)
        assert not differs(container, before)
        container.clear()
        assert differs(container, before)
        refill(container, before)
        assert not differs(container, before) and content_of(container) == before
    assert list(registry) == ["int"] and list(reversed(ordered)) == ["a", "b"]
