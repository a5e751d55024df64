"""vmap inside a target: what is known of a tensor outside is known of it inside, level by level."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

import softfx
from tests.helpers import gradient, identical

X = torch.tensor([[0.4, 1.7, -0.9], [-0.6, 2.2, 0.3]])


class Case(NamedTuple):
    """A function of one element of a batch, and how many levels of vmap it stands under."""

    function: Callable[[Tensor], Tensor]
    levels: int


CASES = {
    "round": Case(torch.round, 1),
    "round of each number": Case(torch.round, 2),
    "mask": Case(lambda z: (z > 0).float(), 1),
    "mask of each number": Case(lambda z: (z > 0).float() * z, 2),
    "largest": Case(lambda z: z[z.argmax()], 1),
    "sorted": Case(lambda z: z.sort().values * z.sign(), 1),
    "place in a table": Case(lambda z: torch.arange(3.0)[z.argmin()] * z, 1),
}


def nested(case: Case) -> Callable[[Tensor], Tensor]:
    """The function under its levels of vmap, made when it is called, as in a program."""

    def program(x: Tensor) -> Tensor:
        function = case.function
        for _ in range(case.levels):
            function = vmap(function)
        result: Tensor = function(x)
        return result

    return program


def unrolled(case: Case, x: Tensor, levels: int) -> Tensor:
    return torch.stack([unrolled(case, row, levels - 1) for row in x]) if levels else case.function(x)


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("name", CASES)
def test_what_runs_under_vmap_is_soft_as_a_loop_is(name: str, policy: str) -> None:
    case = CASES[name]
    soft = softfx.soften(nested(case), policy, example_inputs=(X,), softness=0.1)
    loop = softfx.soften(lambda x: unrolled(case, x, case.levels), policy, example_inputs=(X,), softness=0.1)
    assert soft.report.counts["found"] and {site.action for site in soft.report.sites} <= {"soft", "straight_through"}
    torch.testing.assert_close(soft(X), loop(X))
    torch.testing.assert_close(gradient(soft, X), gradient(loop, X))
    if policy == "gradients":
        assert identical(soft(X), nested(case)(X))


def ranks(x: Tensor) -> Tensor:
    return (x.unsqueeze(-1) >= x.unsqueeze(-2)).sum(-1).float() @ x


def halves(x: Tensor) -> Tensor:
    numbers = (x * 2).round() / 2
    part = numbers[1:]
    part.floor_()
    return (numbers * x).sum()


def counted(x: Tensor) -> Tensor:
    numbers = (x > 0).long()
    numbers[1:] += numbers[:-1].clone()
    return (numbers * x).sum()


def detached(x: Tensor) -> Tensor:
    signs = x.sign()
    signs.detach().mul_(2)
    return (signs * x).sum()


def beside_constants(x: Tensor) -> Tensor:
    whole, ones = (x * 2).round(), torch.ones_like(x)
    return ((whole >= torch.tensor(1.0)) * x + torch.maximum(whole, ones).eq(ones)).sum()


def at_places(x: Tensor) -> Tensor:
    """Pixels of an image of five columns, by places of two digits."""
    row, column = (x * 2).round(), (x.flip(0) * 2).round()
    return ((torch.arange(60.0) ** 2)[(row * 5 + column + 20).long()] + (2 * row > 1).float()).sum()


def viewed(x: Tensor) -> Tensor:
    mask = (x > 0).float()
    mask.expand(2, 3).contiguous()[0].zero_()
    row = mask.view(1, 3)[:, 1:]
    row.add_(x[:2].round())
    return (mask * x).sum()


@pytest.mark.parametrize("transform", ["vmap", "grad"])
@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("program", [ranks, halves, counted, detached, viewed, beside_constants, at_places])
def test_a_softened_function_is_the_same_inside_a_transform(
    program: Callable[[Tensor], Tensor], policy: str, transform: str
) -> None:
    soft = softfx.soften(program, {"preset": policy, "default": {"softness": 0.2}}, example_inputs=(X[0],))
    if transform == "vmap":
        torch.testing.assert_close(vmap(soft)(X), torch.stack([soft(row) for row in X]))
    else:
        slopes, value = grad_and_value(soft)(X[0])
        torch.testing.assert_close(value, soft(X[0]))
        torch.testing.assert_close(slopes, gradient(soft, X[0]))
