"""Products with infinities that a guard leaves: what a `where` does not select has derivative 0, by every factor."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR, gradient, identical

Program = Callable[[Tensor], Tensor]
X, CHOSEN = torch.tensor([0.0, 0.3, 0.6, 0.7]), torch.tensor([False, True, True, True])
PRODUCTS: dict[str, Program] = {
    "x log x": lambda x: x * torch.log(x),
    "in place": lambda x: (x * 1).mul_(x.log()),
    "by keyword": lambda x: torch.mul(input=x, other=x.log2()),
    "entropy": lambda x: -(x * x.log() + (1 - x) * (1 - x).log()),
    "over an axis": lambda x: (torch.stack([x, 1 - x], -1) * torch.stack([x, 1 - x], -1).log()).sum(-1),
    "reciprocal": lambda x: x * (1 / x) + x * x.rsqrt() * x.reciprocal(),
    "overflow": lambda x: (1 / x) * torch.exp(1 / x) * x,
    "of three": lambda x: x * x.log() * (1 - x),
    "addcmul": lambda x: torch.addcmul(x, x, x.log()),
    "lerp": lambda x: torch.lerp(x, x.log(), x),
    "prod": lambda x: torch.stack([x, x.log()]).prod(0),
    "cumprod": lambda x: torch.stack([x, x.log()]).cumprod(0)[1],
    "affine and moved": lambda x: ((x.log() + 1) * 2 - 3).view(-1, 1).t().flatten() * x,
    "joined": lambda x: torch.cat([x.log(), x])[: len(x)] * x,
    "averaged": lambda x: torch.stack([x.log(), x]).mean(0) * x,
    "through a sine": lambda x: x * torch.sin(1 / x),
    "variance": lambda x: torch.stack([x, x.log()]).var(0),
    "masks in a chain": lambda x: torch.where(CHOSEN, torch.where(CHOSEN | True, x.log(), 0.0), x.log()) * x,
}


def selected(function: Program) -> Program:
    return lambda x: torch.where(CHOSEN, function(x), 0.0)


@EXECUTOR
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_factor_of_what_is_not_selected_has_derivative_zero(name: str, executor: str) -> None:
    program = selected(PRODUCTS[name])
    assert gradient(program, X)[0].isnan()
    soft = softfx.soften(program, example_inputs=(X,), executor=executor)
    assert identical(soft(X), program(X))
    wanted = gradient(program, torch.where(CHOSEN, X, 0.5)) * CHOSEN
    torch.testing.assert_close(gradient(soft, X), wanted)


def test_a_factor_that_all_rows_share_keeps_the_derivative_of_those_selected() -> None:
    def program(weight: Tensor) -> Tensor:
        rows = torch.tensor([[0.0, 0.0], [1.0, 2.0]], requires_grad=True)
        return torch.where(torch.tensor([[False], [True]]), weight * (1 / rows), 0.0)

    weight = torch.ones(2)
    soft = softfx.soften(program, example_inputs=(weight,))
    assert torch.equal(gradient(soft, weight), torch.tensor([1.0, 0.5]))


def test_the_derivative_is_the_same_under_transforms() -> None:
    def program(x: Tensor) -> Tensor:
        return torch.where(x > 0.0, x * x.log(), 0.0)

    soft = softfx.soften(program, example_inputs=(X,))
    torch.testing.assert_close(gradient(torch.func.vmap(soft), X), gradient(soft, X))
    first = torch.func.jvp(soft, (X,), (torch.ones(4),))[1]
    assert first.isfinite().all()


def test_under_keep_a_product_is_the_originals_to_the_bit() -> None:
    program = selected(PRODUCTS["x log x"])
    soft = softfx.soften(program, "keep", example_inputs=(X,))
    assert identical(gradient(soft, X), gradient(program, X))


NORMALIZED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "layer_norm": lambda w, x: F.layer_norm(x, (3,), w, w, 0.0),
    "group_norm": lambda w, x: F.group_norm(x, 1, w, w, 0.0),
    "instance_norm": lambda w, x: F.instance_norm(x[:, None].expand(-1, 3, -1), None, None, w, w, eps=0.0),
    "rms_norm": lambda w, x: F.rms_norm(x - x[:, :1], (3,), w, 0.0),
}


@EXECUTOR
@pytest.mark.parametrize("name", NORMALIZED)
def test_constant_rows_spoil_no_weight_of_a_normalization_without_an_epsilon(name: str, executor: str) -> None:
    def program(weight: Tensor, x: Tensor) -> Tensor:
        result = NORMALIZED[name](weight, x)
        varied = torch.tensor([False, True])[-len(x) :].view(-1, *(1,) * (result.dim() - 1))
        return torch.where(varied, result, 0.0)

    weight, x = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]])
    leaf = x.clone().requires_grad_()
    soft = softfx.soften(program, example_inputs=(weight, leaf), executor=executor)
    assert identical(soft(weight, leaf).detach(), program(weight, x))
    torch.testing.assert_close(gradient(soft, weight, leaf), gradient(program, weight, x[1:]))
    assert gradient(lambda leaf: soft(weight, leaf), x).isfinite().all()


def test_a_compiled_program_has_the_finite_derivative_too() -> None:
    def program(x: Tensor) -> Tensor:
        return torch.where(x > 0.0, x * x.log(), 0.0)

    soft = softfx.soften(program, example_inputs=(X,))
    compiled = torch.compile(soft, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(gradient(compiled, X), gradient(soft, X))
    rows = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]])
    normalized = softfx.soften(lambda x: F.layer_norm(x, (3,), eps=0.0)[1], example_inputs=(rows,))
    compiled = torch.compile(normalized, backend="aot_eager", fullgraph=True)
    assert gradient(compiled, rows).isfinite().all()
