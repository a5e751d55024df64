"""x.data = y, x.apply_(f), x.resize_(...): a tensor gets other elements, or another size, without a derivative."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.generated.contracts import EXACT
from tests.helpers import EXECUTORS

X = torch.tensor([[0.3, -1.2, 2.0], [1.1, 0.4, -0.2]])


def applied(x: Tensor) -> Tensor:
    y = (x > 0).float()
    y.apply_(lambda value: value + 1)
    return y * x


def applied_to_a_view(x: Tensor) -> Tensor:
    y = (x > 0).float()
    y[0].apply_(lambda value: value + 1)
    return y * x


def applied_to_bools(x: Tensor) -> Tensor:
    y = x > 0
    y.apply_(lambda value: not value)
    return torch.where(y, x, 0)


def applied_to_what_is_detached(x: Tensor) -> Tensor:
    y = x.detach().round()
    y.apply_(lambda value: value + 1)
    return y * x


def mapped(x: Tensor) -> Tensor:
    y = (x > 0).float()
    y.map_(torch.full((2, 3), 2.0), lambda a, b: a + b)
    return y * x


def mapped_by_a_mask(x: Tensor) -> Tensor:
    y = torch.ones(2, 3)
    y.map2_((x > 0).float(), x.detach().sign(), lambda a, b, c: a + b * c)
    return y * x


def made_smaller(x: Tensor) -> Tensor:
    y = (x > 0).float()
    y.resize_(2, 2)
    return y * x[:, :2]


def made_larger(x: Tensor) -> Tensor:
    y = (x > 0).float()
    y.resize_(3, 3)
    y.fill_(2)
    return y * x[:1]


def a_mask_made_smaller(x: Tensor) -> Tensor:
    y = x > 0
    y.resize_(1, 2)
    return torch.where(y, x[:1, :2], 0)


def places_made_fewer(x: Tensor) -> Tensor:
    places = x.argsort(-1)
    places.resize_as_(torch.zeros(1, 2))
    return x.gather(-1, places)


def given_other_data(x: Tensor) -> Tensor:
    y = x > 0
    y.data = ~y
    return torch.where(y, x, 0)


def given_constant_data(x: Tensor) -> Tensor:
    y = (x > 0).float()
    y.data = torch.zeros_like(y)
    return y * x + x


def given_soft_data(x: Tensor) -> Tensor:
    y = x.detach().clone()
    y.data = (x > 0).float()
    return y * x


def given_another_part(x: Tensor) -> Tensor:
    z = torch.complex(x, x)
    z.real = x.round()
    return torch.view_as_real(z)


PROGRAMS = [
    applied, applied_to_a_view, applied_to_bools, applied_to_what_is_detached, mapped, mapped_by_a_mask, made_smaller,
    made_larger, a_mask_made_smaller, places_made_fewer, given_other_data, given_constant_data, given_soft_data,
    given_another_part,
]  # fmt: skip


@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_values_are_the_originals(program: Callable[[Tensor], Tensor], policy: str) -> None:
    for executor in EXECUTORS:
        x = X.clone().requires_grad_()
        try:
            soft = softfx.soften(program, policy, example_inputs=(x,), executor=executor)
        except softfx.CaptureError:
            assert executor == "graph"
            continue
        result = soft(x)
        assert torch.equal(result, program(X))
        (gradient,) = torch.autograd.grad(result.sum(), x)
        assert gradient.isfinite().all() and gradient.any()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_nothing_stale_is_left_in_the_limit(program: Callable[[Tensor], Tensor]) -> None:
    soft = softfx.soften(program, "smooth", example_inputs=(X,), executor="eager", allow_unused=True)
    softfx.set_softness(soft, 1e-4)
    torch.testing.assert_close(soft(X), program(X), rtol=1e-3, atol=1e-3)


def test_what_ends_there_is_told() -> None:
    soft = softfx.soften(given_soft_data, example_inputs=(X,))
    assert [(site.action, "detaches what it reaches" in site.reason) for site in soft.report.sites] == [("keep", True)]


class Quantized(nn.Module):
    """Its forward gives its weight other data, and the old one back."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.linear.weight.data.clone()
        self.linear.weight.data = weight.sign()
        result = self.linear(x)
        self.linear.weight.data = weight
        return result.round() * x


@pytest.mark.parametrize("policy", EXACT)
def test_a_weight_with_other_data_for_a_while_is_as_it_was(policy: str) -> None:
    model = Quantized()
    soft = softfx.soften(model, policy, example_inputs=(X,))
    assert torch.equal(soft(X), Quantized()(X))
    assert torch.equal(model.linear.weight, Quantized().linear.weight)
    assert soft.linear.weight is model.linear.weight
