"""Where a soft form is no number, an element has the derivative that the program's own call gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR, gradient, identical

NAN = float("nan")
X = torch.tensor([NAN, 0.4, 2.0, -0.7])


def _zeroed(x: Tensor) -> Tensor:
    y = x * 1
    y[x > 0.2] = 0
    return y


AT_A_NAN: dict[str, Callable[[Tensor], Tensor]] = {
    "quantile": lambda x: torch.quantile(x, 0.7, dim=0, keepdim=True),
    "median": lambda x: x.median().view(1),
    "relu": lambda x: x.relu(),
    "in place": lambda x: F.hardtanh(x + 0, inplace=True),
    "pooled": lambda x: F.max_pool1d(x[None], 2)[0],
    "the larger": lambda x: torch.maximum(x, x.flip(0)),
    "written by a mask": _zeroed,
    "filled by a mask": lambda x: x.masked_fill(x > 0.2, 0.0),
    "filled without axes": lambda x: x[0].masked_fill(x[0] > 0.2, 0.0).view(1),
    "chosen": lambda x: torch.where(x > 0.2, 0.0, x),
    "chosen by another": lambda x: torch.where(x.flip(0) > 5.0, 0.0, x),
}


@EXECUTOR
@pytest.mark.parametrize("name", AT_A_NAN)
def test_an_element_that_is_a_nan_keeps_the_derivative_that_it_has(name: str, executor: str) -> None:
    program = AT_A_NAN[name]
    soft = softfx.soften(program, "straight-through", example_inputs=(X,), executor=executor)
    assert identical(soft(X), program(X))
    found, own = gradient(soft, X), gradient(program, X)
    assert own.isfinite().all() and found.isfinite().all()
    assert found[0] == own[0] == 1 + (name == "the larger")


@EXECUTOR
@pytest.mark.parametrize("name", ["amax", "amin", "logsumexp", "std", "norm"])
def test_a_derivative_that_is_no_number_is_none_of_its_elements(name: str, executor: str) -> None:
    rows = torch.stack([X, X.nan_to_num(1.0)])

    def program(x: Tensor) -> Tensor:
        return torch.where(torch.tensor([False, True]), getattr(x.relu(), name)(dim=1), 0.0)

    soft = softfx.soften(program, "straight-through", example_inputs=(rows,), executor=executor)
    assert gradient(soft, rows).isfinite().all()


@EXECUTOR
def test_draws_are_made_once_where_a_soft_form_is_no_number(executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        return F.dropout(x.relu(), 0.5)

    soft = softfx.soften(program, "straight-through", example_inputs=(X,), executor=executor)
    torch.manual_seed(0)
    after = soft(X), torch.get_rng_state()
    torch.manual_seed(0)
    before = program(X), torch.get_rng_state()
    assert identical(after[0], before[0]) and torch.equal(after[1], before[1])


GUARDED: dict[str, Callable[[Tensor], Tensor]] = {
    "log": lambda y: y.log(),
    "power": lambda y: y**2,
    "exp in place": lambda y: y.mul(1.0).exp_(),
    "divisor": lambda y: 1 / y,
    "norm": lambda y: y.norm(dim=0, keepdim=True),
    "of several": lambda y: torch.hypot(y, y.flip(0)),
}


@EXECUTOR
@pytest.mark.parametrize("name", GUARDED)
def test_a_guard_of_soft_values_gives_what_the_call_gives_of_them(name: str, executor: str) -> None:
    guarded = GUARDED[name]

    def choice(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, -3 * x) + 1

    x = torch.tensor([0.1, -0.2, 0.4])
    soft = softfx.soften(lambda x: guarded(choice(x)), "smooth", softness=0.5, example_inputs=(x,), executor=executor)
    chosen = softfx.soften(choice, "smooth", softness=0.5, example_inputs=(x,), executor=executor)
    assert "guard" in [site.action for site in soft.report.sites]
    torch.testing.assert_close(soft(x), guarded(chosen(x)))
    torch.testing.assert_close(gradient(soft, x), gradient(lambda x: guarded(chosen(x)), x))
    with torch.no_grad():
        torch.testing.assert_close(soft(x), guarded(chosen(x)))


def test_a_decision_behind_a_guard_of_soft_values_goes_by_the_originals_value() -> None:
    def program(x: Tensor) -> Tensor:
        y = (torch.where(x > 0, x, -3 * x) + 1).log()
        return y if y.sum() > 0.8 else -y

    x = torch.tensor([0.1, -0.2, 0.4])
    soft = softfx.soften(program, "smooth", softness=0.5, example_inputs=(x,))
    assert program(x).sum() > 0.8 and 0.0 < soft(x).sum() < 0.8


class Floored(torch.autograd.Function):
    """Whole numbers with a derivative of the program's own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.floor()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


@pytest.mark.parametrize("policy", ["gradients", "straight-through", "lifted", "smooth"])
@pytest.mark.parametrize(
    "power", [lambda x: x.square(), lambda x: x**2, lambda x: x.pow(3), lambda x: x.exp(), lambda x: 1 / (x + 0.5)]
)
def test_a_guard_takes_whole_numbers_that_have_a_derivative(power: Callable[[Tensor], Tensor], policy: str) -> None:
    def program(x: Tensor) -> Tensor:
        return power(Floored.apply(2 * x))  # type: ignore[no-untyped-call]

    x = torch.tensor([0.4, 2.0, -0.7])
    soft = softfx.soften(program, policy, example_inputs=(x,))
    assert identical(soft(x), program(x))
    assert torch.allclose(gradient(soft, x), gradient(program, x))


@EXECUTOR
@pytest.mark.parametrize("program", [lambda x: x // x, lambda x: torch.heaviside(x, x), lambda x: x.floor_divide(0.5)])
def test_an_operation_without_a_derivative_has_none_of_its_own(
    program: Callable[[Tensor], Tensor], executor: str
) -> None:
    soft = softfx.soften(lambda x: program(x) * x, "straight-through", example_inputs=(X,), executor=executor)
    assert gradient(soft, X)[1:].isfinite().all()
