"""No NaN or infinity of softening's own: what had weight 0 in the original, or a NaN beside it, spoils no gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTORS, gradient, identical

INF = float("inf")
Program = Callable[[Tensor], Tensor]


def _written(x: Tensor) -> Tensor:
    y = x.clone()
    y[x < 5] = -INF
    return torch.nan_to_num(torch.log_softmax(y, -1), nan=0.0, neginf=0.0)


def _mean_of_positive(x: Tensor) -> Tensor:
    mask = (x > 0).float()
    count = mask.sum(1)
    return torch.where(count > 0, (mask * x).sum(1) / count, 0.0)


def _filters(x: Tensor) -> Tensor:
    kept = x.masked_fill(x < 0, -INF)
    kept = kept.masked_fill(kept.softmax(-1) < 0.3, -INF)
    return kept.softmax(-1).nan_to_num()


MASKED: dict[str, Program] = {
    "a row all masked": lambda x: x.masked_fill(x < 5, -INF).softmax(-1).nan_to_num(),
    "by where": lambda x: torch.where(x < 5, torch.full_like(x, -INF), x).softmax(-1).nan_to_num(),
    "written": _written,
    "logsumexp": lambda x: torch.where(x > 5, x.masked_fill(x < 5, -INF).logsumexp(-1, keepdim=True), 0.0),
    "an empty mean": _mean_of_positive,
    "filters one after the other": _filters,
    "minus infinity times a mask": lambda x: torch.where(x > 0, x, (x > 0).float() * torch.full_like(x, -INF)),
    "exp": lambda x: torch.where(x <= 0, torch.exp(100 * x), 1 + x),
    "log": lambda x: torch.where(x > 0, torch.log(x.clamp(min=0.0)), 0.0),
}
ROWS = torch.tensor([[0.0, 0.3, -1.0], [6.0, 4.0, 2.0], [-3.0, -2.0, -1.0]])


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth"])
@pytest.mark.parametrize("name", MASKED)
def test_what_had_weight_zero_has_a_finite_gradient(name: str, policy: str, executor: str) -> None:
    program = MASKED[name]
    soft = softfx.soften(program, policy, example_inputs=(ROWS,), executor=executor)
    if gradient(program, ROWS).isfinite().all() or policy == "gradients":
        assert gradient(soft, ROWS).isfinite().all()
    if policy != "smooth":
        assert identical(soft(ROWS), program(ROWS))


SPOILT = torch.tensor([[0.5, torch.nan, 2.0], [-1.0, INF, 0.3], [1.0, 3.0, -INF]])
BESIDE_NAN: dict[str, Program] = {
    "mask": lambda x: (x > 0).float().nan_to_num() * torch.ones_like(x),
    "count": lambda x: (x > 0).sum(-1),
    "argmax": lambda x: torch.nn.functional.one_hot(x.argmax(-1), 3),
    "logic": lambda x: torch.logical_not(x),
    "any": lambda x: (x > 0).any(-1),
    "nearness": lambda x: torch.isclose(x, torch.zeros(())),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", BESIDE_NAN)
def test_a_soft_answer_about_a_nan_is_finite(name: str, executor: str) -> None:
    soft = softfx.soften(BESIDE_NAN[name], "smooth", example_inputs=(SPOILT,), executor=executor)
    assert soft(SPOILT).isfinite().all()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_nan_in_one_place_leaves_the_gradient_of_another_operand(executor: str) -> None:
    def program(x: Tensor, w: Tensor) -> Tensor:
        return (x > 0).float() * w

    w = torch.ones(3, 3, requires_grad=True)
    x = SPOILT.clone().requires_grad_()
    soft = softfx.soften(program, "gradients", example_inputs=(x, w), executor=executor)
    assert all(found.isfinite().all() for found in torch.autograd.grad(soft(x, w).sum(), (x, w)))


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth"])
@pytest.mark.parametrize("rounding", ["floor", "trunc"])
def test_rounded_numbers_may_be_divided_by_zero(rounding: str, policy: str, executor: str) -> None:
    x = torch.tensor([-0.3, 0.7, 1.4, 0.0])

    def program(x: Tensor) -> tuple[Tensor, ...]:
        whole = x.ceil()
        return torch.div(whole, whole, rounding_mode=rounding), whole % whole, 3.0 // whole, x.sign() // x.sign()

    soft = softfx.soften(program, policy, example_inputs=(x,), executor=executor)
    if policy != "smooth":
        assert all(identical(one, other) for one, other in zip(soft(x), program(x), strict=True))


SPELLINGS: dict[str, tuple[Program, float]] = {
    "method": (lambda x: x.exp(), 1000.0),
    "in place": (lambda x: (x * 1).exp_(), 1000.0),
    "keyword": (lambda x: torch.exp(input=x), 1000.0),
    "operator": (lambda x: x**2, 1e30),
    "square": (lambda x: x.square(), 1e30),
    "special": (lambda x: torch.special.expm1(x), 1000.0),
    "xlogy": (lambda x: x.xlogy(x), 0.0),
    "float_power": (lambda x: x.float_power(0.5), 0.0),
    "logit with eps": (lambda x: torch.special.logit(x, 1e-6), 0.0),
    "lgamma": (lambda x: torch.special.gammaln(x), 0.0),
    "addcdiv": (lambda x: torch.ones(2).addcdiv(x, x), 0.0),
    "power of a tensor": (lambda x: torch.zeros(2) ** -x, 1.0),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_guarded(name: str) -> None:
    function, edge = SPELLINGS[name]

    def program(x: Tensor) -> Tensor:
        return torch.where(x == edge, x, function(x).float())

    x = torch.tensor([edge, 0.25])
    soft = softfx.soften(program, example_inputs=(x,))
    assert "guard" in [site.action for site in soft.report.sites]
    assert identical(soft(x), program(x)) and gradient(soft, x).isfinite().all()


IN_SPITE_OF_A_NAN: dict[str, Callable[[Tensor], Tensor]] = {
    "sign": torch.sign,
    "step": lambda x: torch.heaviside(x, torch.ones_like(x)),
    "draw by a sign": lambda x: torch.bernoulli(x.sign().sigmoid() * 0),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", IN_SPITE_OF_A_NAN)
def test_a_decision_about_a_nan_is_as_finite_softly_as_it_is_hard(name: str, executor: str) -> None:
    function = IN_SPITE_OF_A_NAN[name]
    assert function(SPOILT).isfinite().all()
    soft = softfx.soften(function, "smooth", example_inputs=(SPOILT,), executor=executor)
    assert soft(SPOILT).isfinite().all()


DECIDED_BY_A_NAN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "selected rows": lambda x, y: y[x > 0].sum(),
    "the mean of selected rows": lambda x, y: y[x[:, 0] > 0].mean(0),
    "put at places": lambda x, y: y.index_put((x[:, 0].argsort(),), y),
    "filled at places": lambda x, y: y.index_fill(0, x[:, 0].argsort()[:1], 1.0),
    "added at places": lambda x, y: y.index_add(0, x[:, 0].argsort(), y),
    "scattered": lambda x, y: y.scatter(1, x.argmax(1, keepdim=True), 0.0),
    "counted": lambda x, y: y / (x > 0).sum().clamp(min=1),
    "unequal": lambda x, y: y * (x != x),
    "looked up": lambda x, y: y[:, x[0].argsort()],
    "in bins": lambda x, y: y * torch.histc(x, 3, -1, 1),
    "a label": lambda x, y: torch.nn.functional.cross_entropy(y, x.argmax(1)),
}


@pytest.mark.parametrize("name", DECIDED_BY_A_NAN)
def test_what_a_nan_decides_about_keeps_its_derivative(name: str) -> None:
    x = torch.tensor([[torch.nan, 0.5, -1.0], [0.3, -0.2, 2.0]], requires_grad=True)
    y = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 4.0]], requires_grad=True)
    program = DECIDED_BY_A_NAN[name]
    result = softfx.soften(program, example_inputs=(x, y))(x, y)
    of_x, of_y = torch.autograd.grad(result.sum(), (x, y))
    assert torch.equal(result, program(x, y))
    assert bool(of_x.isfinite().all()) and bool(of_y.isfinite().all())
    assert bool(of_y.any()) == bool(torch.autograd.grad(program(x, y).sum(), y)[0].any())


def test_numbers_in_order_have_the_derivatives_beside_a_nan_that_they_have_by_themselves() -> None:
    def program(x: Tensor) -> Tensor:
        return x.sort().values[:2].exp()

    x = torch.tensor([2.0, torch.nan, 1.0])
    beside, alone = (gradient(softfx.soften(program, "straight-through", example_inputs=(y,)), y) for y in (x, x[::2]))
    torch.testing.assert_close(beside, torch.stack([alone[0], torch.zeros(()), alone[1]]))


VALUES = torch.tensor([[3.0, -1.0, 0.5], [-2.0, 4.0, 5.0]], dtype=torch.float16)
SHORT: dict[str, Program] = {
    "quotient": lambda x: x / x,
    "power": lambda x: x**-1.0 - x**-1.0,
    "logarithm": lambda x: x.log() - x.log(),
    "reciprocal": lambda x: x.reciprocal() - x.reciprocal(),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("name", SHORT)
def test_a_derivative_that_overflows_in_float16_behind_a_guard_is_none(name: str, policy: str, executor: str) -> None:
    # Among numbers that are equal a place has a derivative of thousands, here on two ways that cancel each other.
    def program(x: Tensor) -> Tensor:
        return VALUES.gather(0, SHORT[name](x).argmin(0, keepdim=True))

    x = torch.tensor([[0.01, 0.5, 3.0], [0.002, 0.25, 2.0]], dtype=torch.float16)
    soft = softfx.soften(program, policy, example_inputs=(x,), executor=executor)
    assert gradient(soft, x).isfinite().all()
    if policy == "gradients":
        assert identical(soft(x), program(x))
