"""What a program makes of one decision element by element has the derivative of its mean over what may be decided."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
import softtorch

Form = Callable[[Tensor], Tensor]
EXECUTOR = pytest.mark.parametrize("executor", ["graph", "eager"])
CHOICE = {"default": {"softness": 0.5, "mode": "smooth", "standardize": False, "method": "softsort"}}
STEP = {"default": {"softness": 0.5, "mode": "smooth"}}
X = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
Y = torch.tensor([1.3, 0.2, 2.6], dtype=torch.float64)
WEIGHTS = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
TABLE = torch.tensor([0.4, 0.1, 1.7], dtype=torch.float64)


def stacked(i: Tensor) -> Tensor:
    return torch.stack([i.double() / 2, i.double() * 0.7], -1).sub(Y[:, None]).abs().sum(-1)


def rows_and_columns(i: Tensor) -> Tensor:
    return torch.stack([(i // 2).double(), (i % 2).double()], -1).sub(Y[:, None]).abs().sum(-1)


def moved(i: Tensor) -> Tensor:
    return (i.double() / 3).view(3, 1).expand(3, 2).flip(-1).sub(TABLE[:2]).square().sum(-1)


def unbound(i: Tensor) -> Tensor:
    return torch.stack([number.sin() for number in (i.double() * 0.3).unbind(0)])


# Each takes an integer for each of three rows.
OF_AN_INDEX: dict[str, Form] = {
    "distance": lambda i: (i - Y).abs(),
    "square": lambda i: (i.double() - Y).square(),
    "product with itself": lambda i: (i.double() - Y) * (i.double() - Y),
    "power": lambda i: (i / 4.0) ** 2,
    "power of it": lambda i: 2.0**i,
    "exponential": lambda i: torch.exp(-0.7 * i.double()),
    "quotient by it": lambda i: 1 / (1 + i.double()),
    "guarded root": lambda i: (i.double() + 1).sqrt(),
    "root at 0": lambda i: i.double().sqrt(),
    "clamped": lambda i: (i.double() - Y).clamp(-1, 1),
    "whole and clipped": lambda i: F.hardtanh(i.double() - 1, 0.0, 2.0),
    "larger": lambda i: torch.maximum(i.double(), Y),
    "two factors": lambda i: (i.double() * 0.3).sin() * (i.double() * 0.3).cos(),
    "within": lambda i: ((i / 4 - Y).abs() < 0.8).double(),
    "side": lambda i: torch.sign(i - Y),
    "rounded": lambda i: torch.floor(i * 0.4),
    "l1": lambda i: F.l1_loss(i.double(), Y, reduction="none"),
    "mean square": lambda i: F.mse_loss(i * 0.5, Y, reduction="none"),
    "smooth l1": lambda i: F.smooth_l1_loss(i.double(), Y, reduction="none", beta=0.3),
    "huber": lambda i: F.huber_loss(i.double(), Y, reduction="none", delta=0.5),
    "stacked": stacked,
    "rows and columns": rows_and_columns,
    "moved": moved,
    "unbound": unbound,
}
# Each takes a bool for each of three numbers.
OF_A_MASK: dict[str, Form] = {
    "distance": lambda m: (m.double() - Y).abs(),
    "of whole numbers": lambda m: (m.double() - Y.round()).abs(),
    "mean square": lambda m: F.mse_loss(m.double(), Y, reduction="none"),
    "relu of a product": lambda m: F.relu(m * (Y - 1.0)),
    "of its opposite": lambda m: (1 - m.double()).exp(),
    "between two": lambda m: torch.where(m, Y, 2.0 * Y).square(),
    "filled": lambda m: Y.masked_fill(m, 0.5).log(),
}


def gradient(program: Form, policy: object, x: Tensor, executor: str) -> Tensor:
    """The softened gradient, after a look at the values."""
    x = x.clone().requires_grad_()
    soft = softfx.soften(program, policy, example_inputs=(x,), executor=executor)
    value = soft(x)
    assert torch.equal(value, program(x))
    (found,) = torch.autograd.grad(value, x)
    return found


def mean_gradient(form: Form, weights: Form, values: Tensor, x: Tensor) -> Tensor:
    """The gradient of the mean over all that may be decided.  # weights: (..., [n]); values: (n)"""
    x = x.clone().requires_grad_()
    made = torch.stack([form(value.expand(3)).double() for value in values], -1)
    (found,) = torch.autograd.grad(((weights(x) * made).sum(-1) * WEIGHTS).sum(), x)
    return found


def index_weights(x: Tensor) -> Tensor:
    return softtorch.argmax(x, dim=-1, softness=0.5, mode="smooth", standardize=False, method="softsort")


def mask_weights(x: Tensor) -> Tensor:
    above = softtorch.greater(x, torch.tensor(0.1, dtype=x.dtype), softness=0.5, mode="smooth")
    return torch.stack([1 - above, above], -1)


@EXECUTOR
@pytest.mark.parametrize("form", OF_AN_INDEX.values(), ids=OF_AN_INDEX)
def test_of_an_index(form: Form, executor: str) -> None:
    found = gradient(lambda x: (form(x.argmax(-1)) * WEIGHTS).sum(), CHOICE, X, executor)
    wanted = mean_gradient(form, index_weights, torch.arange(5), X)
    assert wanted.any()
    torch.testing.assert_close(found, wanted)


@EXECUTOR
@pytest.mark.parametrize("form", OF_A_MASK.values(), ids=OF_A_MASK)
def test_of_a_mask(form: Form, executor: str) -> None:
    found = gradient(lambda x: (form(x > 0.1) * WEIGHTS).sum(), STEP, X[:, 0], executor)
    wanted = mean_gradient(form, mask_weights, torch.tensor([False, True]), X[:, 0])
    assert wanted.any()
    torch.testing.assert_close(found, wanted)


@EXECUTOR
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss])
def test_a_loss_is_reduced_after_the_mean(loss: Callable[..., Tensor], reduction: str, executor: str) -> None:
    found = gradient(lambda x: loss(x.argmax(-1).double(), Y, reduction=reduction), CHOICE, X, executor)
    x = X.clone().requires_grad_()
    each = loss(torch.arange(5.0, dtype=torch.float64).expand(3, 5), Y[:, None].expand(3, 5), reduction="none")
    (wanted,) = torch.autograd.grad(getattr((index_weights(x) * each).sum(-1), reduction)(), x)
    torch.testing.assert_close(found, wanted)


@EXECUTOR
def test_what_stands_beside_the_decision_has_the_mean_of_its_own_derivative(executor: str) -> None:
    def program(x: Tensor, z: Tensor) -> Tensor:
        return ((x > 0.1).double() - z).abs().sum()

    x, z = X[:, 0].clone().requires_grad_(), Y.clone().requires_grad_()
    soft = softfx.soften(program, STEP, example_inputs=(x, z), executor=executor)
    (found,) = torch.autograd.grad(soft(x, z), z)
    signs = torch.stack([torch.sign(z), torch.sign(z - 1)], -1)
    torch.testing.assert_close(found, (mask_weights(x) * signs).sum(-1).detach())


@EXECUTOR
def test_a_number_that_is_infinite_elsewhere_leaves_gradients_finite(executor: str) -> None:
    found = gradient(lambda x: (x.argmax(-1).double() * 0.5).log().sum(), CHOICE, X[:1].flip(-1), executor)
    assert found.isfinite().all()
    assert found.any()


# Each guards a function against numbers that it is not fit for, or overflows at: x is near 0, or large.
GUARDED: dict[str, Form] = {
    "quotient": lambda x: (1 / torch.where(x.abs() > 0.05, x, 1.0)).sum(),
    "root": lambda x: torch.where(x > 0.05, x, 1.0).rsqrt().sum(),
    "exponential": lambda x: torch.exp(torch.where(x > 0, -x, x)).sum(),
    "exponential of a product": lambda x: torch.exp(x * (x < 1.0)).sum(),
    "logarithm": lambda x: x.masked_fill(x <= 1e-6, 1.0).log().sum(),
}


@EXECUTOR
@pytest.mark.parametrize("form", GUARDED.values(), ids=GUARDED)
def test_a_mask_that_keeps_a_function_in_its_range_keeps_doing_so(form: Form, executor: str) -> None:
    x = torch.tensor([1e-12, 0.3, 70.0, -70.0, 2.0], dtype=torch.float64)
    found = gradient(form, {"default": {"softness": 0.5, "mode": "tailed"}}, x, executor)
    assert found.isfinite().all()
    assert found.abs().max() < 1e3


@EXECUTOR
def test_signs_are_equal_or_not(executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        return ((torch.sign(x[:, 0]) == torch.sign(x[:, 1])).double() * WEIGHTS).sum()

    x = X.clone().requires_grad_()
    a, b = (softtorch.sign(x[:, k], softness=0.5, mode="smooth") for k in (0, 1))
    (wanted,) = torch.autograd.grad(((1 + a * b) / 2 * WEIGHTS).sum(), x)
    torch.testing.assert_close(gradient(program, STEP, X, executor), wanted)


@EXECUTOR
def test_an_error_of_signs_is_told_where_they_are_right(executor: str) -> None:
    """At the hard sign the square is flat where it is right."""
    wanted = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    right = 0.3 * wanted
    found = gradient(lambda x: (torch.sign(x) - wanted).square().sum(), STEP, right, executor)
    assert (found * wanted < 0).all()


@EXECUTOR
def test_other_decisions_keep_what_they_have(executor: str) -> None:
    """Two decisions in one number, scope = "model" and kept sites are not taken together by their numbers."""
    for policy in ({"default": {**STEP["default"], "scope": "model"}}, STEP):
        found = gradient(
            lambda x: ((x[:, 0] > 0).double() * 0.5 - (x[:, 1] > 0).double()).square().sum(), policy, X, executor
        )
        assert found.isfinite().all()
    assert not gradient(lambda x: (x.argmax(-1) / 2 - Y).abs().sum() + 0 * x.sum(), "keep", X, executor).any()


def test_of_too_many_numbers_the_hard_one_alone_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call is made once, whichever way it goes: a second one would be in the written code."""
    monkeypatch.setattr("softfx.interpreter.pointwise._MOST_NUMBERS", 14)  # three rows of five
    found = gradient(lambda x: ((x.argmax(-1) - Y).abs() * WEIGHTS).sum(), CHOICE, X, "graph")
    x = X.clone().requires_grad_()
    slope = torch.sign(x.argmax(-1) - Y) * WEIGHTS
    (wanted,) = torch.autograd.grad(((index_weights(x) * torch.arange(5.0)).sum(-1) * slope).sum(), x)
    torch.testing.assert_close(found, wanted)
    changes = softfx.diff(lambda x: ((x.argmax(-1) - Y).abs() * WEIGHTS).sum(), CHOICE, example_inputs=(X,))
    assert sum(line.startswith("+") and line.endswith(".abs()") for line in changes.splitlines()) == 1


@pytest.mark.parametrize("policy", ["gradients", "lifted"])
def test_what_is_broadcast_beside_a_decision_is_none(policy: str) -> None:
    def program(x: Tensor) -> Tensor:
        return F.smooth_l1_loss((x > 0) * x, x)  # which broadcasts both

    x = X.clone().requires_grad_()
    soft = softfx.soften(program, policy, example_inputs=(x,))
    assert torch.equal(soft(x), program(x))
    assert torch.autograd.grad(soft(x), x)[0].abs().sum() > 0


@pytest.mark.parametrize("x", [0.7, [0.7, -0.2, 0.1], [[0.7, -0.2, 0.1]] * 2])
def test_rows_that_are_chosen_by_a_mask_are_those_of_no_one_decision(x: object) -> None:
    """What a soft mask keeps of numbers that a decision made was decided about twice."""

    def program(x: Tensor) -> Tensor:
        y = torch.sign(x.detach().norm() * x.abs().sum()) * x
        y[y > 0.3] = y[y > 0.3].round()
        return y

    start = torch.as_tensor(x)
    soft = softfx.soften(program, example_inputs=(start,))
    assert torch.equal(soft(start), program(start))
    leaf = start.clone().requires_grad_()
    assert torch.autograd.grad(soft(leaf).sum(), leaf)[0].all()


@EXECUTOR
def test_bounds_that_are_decided_have_a_derivative_beside_a_number_and_a_bound(executor: str) -> None:
    """torch's own derivative of clamp by two bounds refuses an input that is smaller than these."""
    policy = {"default": {"softness": 0.3, "mode": "smooth"}}

    def program(x: Tensor) -> Tensor:
        return torch.clamp(x, (x > 0).double(), x + 0.5)

    x = X[0].clone().requires_grad_()
    soft = softfx.soften(program, policy, example_inputs=(x,), executor=executor)
    assert torch.equal(soft(x), program(x))
    p = torch.sigmoid(x / 0.3)
    mean = p * torch.clamp(x, torch.ones_like(x), x + 0.5) + (1 - p) * torch.clamp(x, torch.zeros_like(x), x + 0.5)
    (found,), (expected,) = torch.autograd.grad(soft(x).sum(), x), torch.autograd.grad(mean.sum(), x)
    torch.testing.assert_close(found, expected)


@EXECUTOR
@pytest.mark.parametrize("weight", [torch.tensor([0.25]), torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])])
def test_weights_of_channels_are_not_entry_against_entry(weight: Tensor, executor: str) -> None:
    weight = weight.double()

    def program(x: Tensor) -> Tensor:
        return torch.stack([F.prelu((x > 0).double() - 0.5, weight)]).sum((0, 2))

    x = X.clone().requires_grad_()
    soft = softfx.soften(program, STEP, example_inputs=(x,), executor=executor)
    assert torch.equal(soft(x), program(x))
    p = torch.sigmoid(x / 0.5)
    slope = torch.where(x > 0, 1.0, weight)  # of what was decided
    (found,), (expected,) = torch.autograd.grad(soft(x).sum(), x), torch.autograd.grad((slope.detach() * p).sum(), x)
    torch.testing.assert_close(found, expected)
