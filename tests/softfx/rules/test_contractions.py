"""Sums of products: places that are made of coordinates and strides, in every spelling, and what each call sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.ops.spelling import INDEX
from softfx.rules.contractions import _sum_of
from tests.helpers import EXECUTOR

HEIGHT, WIDTH = 6, 5
IMAGE = torch.randn(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
STRIDES = torch.tensor([float(WIDTH), 1.0])
COLUMN = STRIDES[:, None]
# The last two lie at the borders: their neighbours are no pixels.
Y = torch.tensor([1.2, 2.7, 3.4, 0.6, 4.4])
X = torch.tensor([2.3, 1.1, 3.2, 4.4, -0.4])


def points(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y.round(), x.round()], -1)


Places = Callable[[Tensor, Tensor], Tensor]
PLACES: dict[str, Places] = {
    "matmul": lambda x, y: points(x, y) @ STRIDES,
    "mv": lambda x, y: points(x, y).mv(STRIDES),
    "matrix": lambda x, y: (points(x, y) @ COLUMN).squeeze(-1),
    "mm": lambda x, y: torch.mm(points(x, y), mat2=COLUMN)[:, 0],
    "strides first": lambda x, y: STRIDES @ points(x, y).T,
    "row first": lambda x, y: (COLUMN.T @ points(x, y).T)[0],
    "bmm": lambda x, y: torch.bmm(points(x, y)[:, None], COLUMN.expand(5, 2, 1))[:, 0, 0],
    "batch": lambda x, y: (points(x, y).reshape(5, 1, 1, 2) @ COLUMN.expand(3, 2, 1))[:, 1, 0, 0],
    "dot": lambda x, y: torch.stack([torch.dot(row, STRIDES) for row in points(x, y)]),
    "vdot": lambda x, y: torch.stack([torch.vdot(STRIDES, row) for row in points(x, y)]),
    "vecdot": lambda x, y: torch.linalg.vecdot(points(x, y), STRIDES),
    "vecdot along rows": lambda x, y: torch.linalg.vecdot(points(x, y).T, COLUMN.expand(2, 5), dim=-2),
    "einsum": lambda x, y: torch.einsum("nc,c->n", points(x, y), STRIDES),
    "einsum of a list": lambda x, y: torch.einsum("c, nc -> n", [STRIDES, points(x, y)]),
    "einsum with dots": lambda x, y: torch.einsum("...c,c", points(x, y), STRIDES),
    "einsum of integers": lambda x, y: torch.einsum("nc,c->n", points(x, y).long(), STRIDES.long()),
    "linear": lambda x, y: F.linear(points(x, y), COLUMN.T)[:, 0],
    "linear with a bias": lambda x, y: F.linear(points(x, y), COLUMN.T, torch.full((1,), 2.0))[:, 0] - 2,
    "linear of a vector": lambda x, y: F.linear(points(x, y), STRIDES),
    "inner": lambda x, y: torch.inner(points(x, y), STRIDES),
    "tensordot": lambda x, y: torch.tensordot(points(x, y), STRIDES, dims=1),
    "tensordot by axes": lambda x, y: torch.tensordot(STRIDES, points(x, y), dims=([0], [1])),
    "addmv": lambda x, y: torch.addmv(torch.full((5,), 2.0), points(x, y), STRIDES) - 2,
    "addmm": lambda x, y: torch.addmm(x.round()[:, None], y.round()[:, None], COLUMN[:1], beta=1, alpha=1)[:, 0],
    "addcmul": lambda x, y: torch.addcmul(x.round(), y.round(), torch.tensor(float(WIDTH))),
    "outer": lambda x, y: torch.outer(y.round(), STRIDES)[:, 0] + x.round(),
    "sum": lambda x, y: (points(x, y) * STRIDES).sum(-1),
    "sum that keeps its axis": lambda x, y: (points(x, y) * STRIDES).sum(1, True)[:, 0],
    "sum of all": lambda x, y: torch.stack([(point * STRIDES).sum() for point in points(x, y)]),
    "sum along two axes": lambda x, y: (points(x, y)[:, None] * STRIDES).sum((1, 2)),
    "another type": lambda x, y: points(x, y).double() @ STRIDES.double(),
    "copied": lambda x, y: (points(x, y) @ STRIDES).clone().contiguous(),
    "rounded": lambda x, y: (points(x, y) @ STRIDES).round(),
    "clamped": lambda x, y: (points(x, y) @ STRIDES).clamp(0, HEIGHT * WIDTH - 1),
    "joined before it is rounded": lambda x, y: torch.stack([y, x], -1).round() @ STRIDES,
}


def outcomes(program: Places, policy: Any, executor: str) -> list[Tensor]:
    """The value, and its gradients by X and Y."""
    inputs = [coordinate.clone().requires_grad_() for coordinate in (X, Y)]
    soft = softfx.soften(program, policy, example_inputs=inputs, executor=executor, softness=0.1, allow_unused=True)
    value = soft(*inputs)
    return [value.detach(), *torch.autograd.grad(value.square().sum(), inputs)]


@EXECUTOR
@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("name", PLACES)
def test_coordinates_times_strides_read_what_the_coordinates_read(name: str, policy: str, executor: str) -> None:
    def place(x: Tensor, y: Tensor) -> Tensor:
        return IMAGE.reshape(-1)[PLACES[name](x, y).long()]

    kept = {"preset": policy, "rule": [{"op": "@kink", "action": "keep"}]}
    apart = outcomes(lambda x, y: IMAGE[y.round().long(), x.round().long()], kept, executor)
    for one, other in zip(outcomes(place, kept, executor), apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_strides_that_learn_are_no_strides() -> None:
    strides = STRIDES.clone().requires_grad_()
    x, y = X.clone().requires_grad_(), Y.clone().requires_grad_()
    soft = softfx.soften(lambda x, y, s: (points(x, y) @ s).sum(), example_inputs=(x, y, strides))
    soft(x, y, strides).backward()
    assert torch.equal(strides.grad, points(X, Y).sum(0))


def numbers(*shape: int) -> Tensor:
    return torch.arange(1.0, 1 + torch.Size(shape).numel()).reshape(shape)


CALLS: dict[str, tuple[Callable[..., Tensor], tuple[Any, ...]]] = {
    "vectors": (torch.matmul, (numbers(3), numbers(3))),
    "vector and matrix": (torch.matmul, (numbers(3), numbers(3, 2))),
    "vector and batch": (torch.matmul, (numbers(3), numbers(4, 3, 2))),
    "batch and vector": (torch.matmul, (numbers(4, 2, 3), numbers(3))),
    "batches": (torch.matmul, (numbers(4, 1, 2, 3), numbers(5, 3, 2))),
    "linear": (F.linear, (numbers(4, 2, 3), numbers(5, 3))),
    "linear of a vector": (F.linear, (numbers(4, 2, 3), numbers(3))),
    "inner": (torch.inner, (numbers(4, 3), numbers(2, 5, 3))),
    "vdot": (torch.vdot, (numbers(3), numbers(3))),
    "vecdot": (torch.linalg.vecdot, (numbers(4, 3), numbers(3))),
    "tensordot": (torch.tensordot, (numbers(2, 3, 4), numbers(3, 4, 5))),
    "tensordot by axes": (torch.tensordot, (numbers(2, 3, 4), numbers(4, 5, 2), ([2, 0], [0, 2]))),
    "einsum": (torch.einsum, ("bij,kj->bki", numbers(2, 3, 4), numbers(5, 4))),
    "einsum with dots": (torch.einsum, ("...ij,...jk", numbers(2, 1, 3, 4), numbers(5, 4, 2))),
    "einsum with a free axis": (torch.einsum, ("ij,k->i", numbers(2, 3), numbers(4))),
    "outer": (torch.outer, (numbers(3), numbers(2))),
    "addcmul": (torch.addcmul, (torch.zeros(2, 3), numbers(2, 3), numbers(3))),
    "addmm": (torch.addmm, (torch.zeros(2, 2), numbers(2, 3), numbers(3, 2))),
    "addmv": (torch.addmv, (torch.zeros(2), numbers(2, 3), numbers(3))),
    "baddbmm": (torch.baddbmm, (torch.zeros(4, 2, 2), numbers(4, 2, 3), numbers(4, 3, 2))),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_a_call_sums_is_what_torch_sums(name: str) -> None:
    function, args = CALLS[name]
    found = _sum_of(INDEX.of(function).operation, args, {})
    assert found is not None
    left, right, result = found.axes
    assert torch.equal(torch.einsum(f"{left},{right}->{result}", found.left, found.right), function(*args))


NO_SUMS: dict[str, tuple[Callable[..., Tensor], tuple[Any, ...]]] = {
    "einsum of three": (torch.einsum, ("i,i,i->", numbers(3), numbers(3), numbers(3))),
    "diagonal": (torch.einsum, ("ii,i->", numbers(3, 3), numbers(3))),
    "einsum by numbers": (torch.einsum, (numbers(3), [0], numbers(3), [0], [])),
    "kron": (torch.kron, (numbers(3), numbers(2))),
}


@pytest.mark.parametrize("name", NO_SUMS)
def test_other_calls_have_no_multiples(name: str) -> None:
    function, args = NO_SUMS[name]
    assert _sum_of(INDEX.of(function).operation, args, {}) is None


@pytest.mark.parametrize("rows", [0, 2])
def test_a_contraction_of_no_rows_is_one_of_rows(rows: int) -> None:
    def program(x: Tensor, weights: Tensor) -> Tensor:
        return torch.nn.functional.linear(x, weights.round())

    x, weights = torch.ones(rows, 4), torch.randn(4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    soft = softfx.soften(program, example_inputs=(x, weights))
    result = soft(x, weights)
    assert torch.equal(result, program(x, weights))
    assert bool(torch.autograd.grad(result.sum(), weights)[0].abs().sum() > 0) is (rows > 0)
