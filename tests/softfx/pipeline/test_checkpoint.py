"""Blocks of torch.utils.checkpoint: computed again in the backward pass, they are softened as in the first run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import softfx
from tests.helpers import EXECUTOR

X = torch.tensor([0.3, 1.7, -0.6, 2.2])


def rounded(block: Callable[..., Tensor], x: Tensor) -> Tensor:
    return block(lambda z: z.round() * z, x)


def behind_a_mask(block: Callable[..., Tensor], x: Tensor) -> Tensor:
    mask = (x > 0).float()
    return block(lambda m, z: (m * z).sort().values * z, mask, x)


class Layers(nn.Module):
    def __init__(self, block: Callable[..., Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.block(lambda z, layer=layer: layer(z).round() + z, x)
        return x


def layers(block: Callable[..., Tensor], x: Tensor) -> Tensor:
    return Layers(block)(x)


def recomputed(function: Callable[..., Tensor], *args: Tensor) -> Tensor:
    return checkpoint(function, *args, use_reentrant=False)


def plain(function: Callable[..., Tensor], *args: Tensor) -> Tensor:
    return function(*args)


@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth"])
@pytest.mark.parametrize("program", [rounded, behind_a_mask, layers])
def test_a_checkpointed_block_has_the_values_and_gradients_of_the_block_itself(
    program: Callable[..., Tensor], policy: str
) -> None:
    found = []
    for block in (plain, recomputed):
        x = X.clone().requires_grad_()
        soft = softfx.soften(lambda x, block=block: program(block, x), policy, example_inputs=(x,))
        out = soft(x)
        found.append((out.detach(), *torch.autograd.grad(out.square().sum(), x)))
    for expected, result in zip(*found, strict=True):
        assert torch.equal(expected, result)
    assert found[0][1].any()


def test_a_softened_module_may_be_checkpointed_as_a_whole() -> None:
    soft = softfx.soften(lambda x: x.round() * x.sort().values, example_inputs=(X,))
    gradients = []
    for reentrant in (None, False, True):
        x = X.clone().requires_grad_()
        out = soft(x) if reentrant is None else checkpoint(soft, x, use_reentrant=reentrant)
        out.sum().backward()
        gradients.append(x.grad)
    assert torch.equal(gradients[0], gradients[1]) and torch.equal(gradients[0], gradients[2])


def without_gradients_first(function: Callable[..., Tensor], *args: Tensor) -> Tensor:
    return checkpoint(function, *args, use_reentrant=True)


def one_in_another(first: Callable[..., Tensor], second: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda function, *args: first(lambda *inner: second(function, *inner), *args)


@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth"])
@pytest.mark.parametrize("program", [rounded, layers])
@pytest.mark.parametrize(
    "block",
    [
        without_gradients_first,
        one_in_another(without_gradients_first, without_gradients_first),
        one_in_another(without_gradients_first, recomputed),
        one_in_another(recomputed, without_gradients_first),
    ],
)
def test_a_reentrant_block_acts_as_the_block_itself(
    block: Callable[..., Tensor], program: Callable[..., Tensor], policy: str
) -> None:
    found = []
    for way in (plain, block):
        x = X.clone().requires_grad_()
        soft = softfx.soften(lambda x, way=way: program(way, x), policy, example_inputs=(x,))
        out = soft(x)
        out.square().sum().backward()
        found.append((out.detach(), x.grad, [site.action for site in soft.report.sites]))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])
    assert found[0][2] == found[1][2]


def test_integers_of_a_reentrant_block_are_said_to_end_there() -> None:
    x = X.clone().requires_grad_()
    soft = softfx.soften(lambda x: X[checkpoint(torch.argmax, x, use_reentrant=True)] + x.sum(), example_inputs=(x,))
    soft(x).backward()
    assert x.grad is not None and torch.equal(x.grad, torch.ones(4))
    (site,) = soft.report.sites
    assert "use_reentrant" in str(site)


def nested(block: Callable[..., Tensor], x: Tensor) -> Tensor:
    return block(lambda y: block(lambda z: z.round() * 2, y * 2).sin() * y, x)


def nested_thrice(block: Callable[..., Tensor], x: Tensor) -> Tensor:
    return block(lambda a: block(lambda b: block(lambda c: c.round() * a, b * 2).sign() + b, a + 1) * a, x)


@EXECUTOR
@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth"])
@pytest.mark.parametrize("program", [rounded, nested, nested_thrice])
def test_blocks_inside_blocks_are_softened_by_both_executors(
    program: Callable[..., Tensor], policy: str, executor: str
) -> None:
    found = []
    for block in (plain, recomputed):
        x = X.clone().requires_grad_()
        soft = softfx.soften(lambda x, block=block: program(block, x), policy, example_inputs=(x,), executor=executor)
        out = soft(x)
        assert torch.is_grad_enabled()
        found.append((out.detach(), *torch.autograd.grad(out.square().sum(), x)))
    for expected, result in zip(*found, strict=True):
        assert torch.equal(expected, result)
    assert found[0][1].any()


def test_a_graph_that_raises_inside_a_block_without_gradients_leaves_gradients_on() -> None:
    def looked_up(x: Tensor, index: Tensor) -> Tensor:
        with torch.no_grad():
            weights = torch.arange(4.0)[index]
        return x.round() * weights

    soft = softfx.soften(looked_up, example_inputs=(X, torch.arange(4)), executor="graph")
    with pytest.raises(IndexError):
        soft(X, torch.full((4,), 9))
    assert torch.is_grad_enabled()
