"""A NaN among numbers that are put in order: it has a place, as in torch, and touches no other element of its row."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTORS, gradient

NAN, INF = float("nan"), float("inf")
X = torch.tensor([[0.3, -0.2, 0.5, 0.1], [0.4, -0.3, NAN, 0.2], [0.6, 0.2, -0.1, INF]])
FINITE = torch.tensor([[0.3, -0.2, 0.5, 0.1], [0.4, -0.3, 0.7, 0.2], [0.6, 0.2, -0.1, 0.9]])
WEIGHTS = torch.arange(1.0, 5.0)

Program = Callable[[Tensor], Tensor]
ORDERS: dict[str, Program] = {
    "sort": lambda x: x.sort(-1).values,
    "sort, falling": lambda x: x.sort(-1, descending=True).values,
    "msort": lambda x: torch.msort(x.T).T,
    "topk": lambda x: x.topk(3).values,
    "topk of the smallest": lambda x: x.topk(2, largest=False).values,
    "kthvalue": lambda x: x.kthvalue(2).values.unsqueeze(-1),
    "cummax": lambda x: x.cummax(-1).values,
    "cummin": lambda x: x.cummin(-1).values,
    "places": lambda x: WEIGHTS[x.argsort(-1)],
    "places beside values": lambda x: WEIGHTS[x.sort(-1).indices],
    "places of the largest": lambda x: WEIGHTS[x.topk(2).indices],
    "running places": lambda x: WEIGHTS[x.cummax(-1).indices],
}


@pytest.mark.parametrize("example", [X, FINITE], ids=["met", "not met"])
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", ORDERS)
def test_values_are_numbers_where_the_program_has_numbers(name: str, executor: str, example: Tensor) -> None:
    soft = softfx.soften(ORDERS[name], "smooth", example_inputs=(example,), executor=executor)
    assert torch.equal(soft(X).isnan(), ORDERS[name](X).isnan())
    softfx.set_softness(soft, 1e-4)
    torch.testing.assert_close(soft(X), ORDERS[name](X), equal_nan=True, rtol=0, atol=1e-2)


@pytest.mark.parametrize("policy", ["smooth", "straight-through"])
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", ORDERS)
def test_the_other_elements_of_the_row_keep_a_gradient(name: str, executor: str, policy: str) -> None:
    def program(x: Tensor) -> Tensor:
        found = ORDERS[name](x)
        return torch.where(found.isfinite(), found, 0.0) * WEIGHTS[: found.shape[-1]]

    found = gradient(softfx.soften(program, policy, example_inputs=(X,), executor=executor), X)
    assert found.isfinite().all() and (found[1] != 0).any()


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("policy", ["gradients", "smooth"])
def test_a_nan_that_is_written_over_is_gone(policy: str, executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        y = x * 1
        y[torch.arange(len(y)), x.argmax(-1)] = 0.0  # a NaN is the largest
        return y

    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    assert program(X)[1].isfinite().all() and soft(X)[1].isfinite().all()
    assert gradient(soft, X).isfinite().all()


@pytest.mark.parametrize("norm", [lambda x: torch.norm(x, p=1, dim=-1), lambda x: torch.linalg.vector_norm(x, 1, -1)])
def test_a_sum_of_sizes_leaves_the_others_of_a_row_their_derivative(norm: Program) -> None:
    soft = softfx.soften(norm, example_inputs=(X,))
    assert torch.equal(gradient(soft, X), gradient(norm, X))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_orders_of_empty_rows_are_softened(executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        none = x.topk(0, dim=-1).values
        ordered, places = none.sort(dim=-1)
        return none.gather(-1, places).cumsum(-1) + ordered

    soft = softfx.soften(program, example_inputs=(FINITE,), executor=executor)
    assert soft(FINITE).shape == (3, 0)


SOFT_KINKS = {"preset": "straight-through", "rule": [{"op": ["maximum", "minimum"], "action": "soft"}]}
IGNORING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "fmax": torch.fmax, "fmin": torch.fmin, "x.fmax": lambda x, y: x.fmax(other=y),
}  # fmt: skip


@pytest.mark.parametrize("policy", ["smooth", SOFT_KINKS], ids=["smooth", "kinks"])
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", IGNORING)
def test_fmax_and_fmin_take_the_number_beside_a_nan(name: str, executor: str, policy: object) -> None:
    program, other = IGNORING[name], FINITE.flip(-1).clone()
    other[0, 0] = NAN
    soft = softfx.soften(program, policy, example_inputs=(FINITE, other), executor=executor)  # type: ignore[arg-type]
    x, y = X[:2].clone().requires_grad_(), other[:2].clone().requires_grad_()
    result = soft(x, y)
    assert torch.equal(result[0, 0], X[0, 0]) and torch.equal(result[1, 2], other[1, 2])
    gradients = torch.autograd.grad(result.sum(), (x, y))
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert gradients[0][0, 0] == 1 and gradients[0][1, 2] == 0 and gradients[1][1, 2] == 1
