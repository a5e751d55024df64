"""What a call returns and computes later is softened as it is used; containers and sizes come back as they are."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import gradient

X = torch.tensor([0.3, 1.7, -0.6])
POLICY = pytest.mark.parametrize("policy", ["gradients", "smooth"])


def generator(x: Tensor) -> Iterator[Tensor]:
    for item in x:
        yield item.round() * item


def endless(x: Tensor) -> Iterator[Tensor]:
    while True:
        yield x.round()


def mapped(x: Tensor) -> Iterator[Tensor]:
    return map(torch.round, x)


def nested(x: Tensor) -> dict[str, Any]:
    return {"rounded": (item.round() for item in x), "number": 3}


async def coroutine(x: Tensor) -> Tensor:
    await asyncio.sleep(0)
    return x.round()


async def asynchronous(x: Tensor) -> AsyncIterator[Tensor]:
    for item in x:
        await asyncio.sleep(0)
        yield item.round()


def closure(x: Tensor) -> Callable[[], Tensor]:
    return lambda: x.round()


def partial(x: Tensor) -> Callable[[], Tensor]:
    return functools.partial(torch.round, x)


async def gathered(items: AsyncIterator[Tensor]) -> list[Tensor]:
    return [item async for item in items]


USES: dict[Callable[..., Any], Callable[[Any], Tensor]] = {
    generator: lambda result: torch.stack(list(result)),
    endless: lambda result: torch.stack([next(result) for _ in range(3)]),
    mapped: lambda result: torch.stack(list(result)),
    nested: lambda result: torch.stack(list(result["rounded"])) * result["number"],
    coroutine: lambda result: asyncio.run(result),
    asynchronous: lambda result: torch.stack(asyncio.run(gathered(result))),
    closure: lambda result: result(),
    partial: lambda result: result(),
}


@POLICY
@pytest.mark.parametrize("function", USES, ids=lambda function: function.__name__)
def test_what_is_computed_later_is_softened_and_reported(function: Callable[..., Any], policy: str) -> None:
    use = USES[function]
    soft = softfx.soften(function, policy, example_inputs=(X,))
    assert "Nothing to act on" not in str(soft.report)
    assert any("is softened then" in item.reason for item in soft.report.breaks)
    if policy == "gradients":
        assert torch.equal(use(soft(X)), use(function(X)))
    assert gradient(lambda x: use(soft(x)), X).any()
    assert [site.op for site in soft.report.sites] == ["round"]


def test_values_are_sent_into_a_softened_generator_and_errors_raised_in_it() -> None:
    def echo(x: Tensor) -> Iterator[Tensor]:
        try:
            while True:
                x = yield x.round()  # type: ignore[misc]
        except KeyError:
            yield x.floor()

    soft = softfx.soften(echo, example_inputs=(X,))
    leaf = X.clone().requires_grad_()
    running = soft(X)
    next(running)
    assert torch.autograd.grad(running.send(leaf).sum(), leaf)[0].any()
    assert torch.autograd.grad(running.throw(KeyError()).sum(), leaf)[0].any()
    running.close()
    assert next(running, None) is None


def test_an_object_whose_methods_compute_later_is_told() -> None:
    soft = softfx.soften(lambda x: torch.distributions.Normal(x, 1.0), example_inputs=(X,))
    assert any("a Normal, which holds tensors" in item.reason for item in soft.report.breaks)
    assert "Nothing to act on" not in str(soft.report)


def test_containers_in_which_nothing_changes_and_sizes_are_themselves() -> None:
    kept: list[Tensor] = []

    def keeps(x: Tensor) -> list[Tensor]:
        kept.append(x.round())
        return kept

    soft = softfx.soften(keeps, example_inputs=(X,), executor="eager")
    assert soft(X) is kept
    soft = softfx.soften(lambda x: (x.round(), x.shape), example_inputs=(X,))
    assert type(soft(X)[1]) is torch.Size
