"""hardshrink, softshrink and prelu: torch's in mode hard and in the limit, gradients, infinities, channels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

import softtorch
from softtorch.errors import ShapeError

WEIGHT = torch.tensor([0.2, -0.5, 1.5], dtype=torch.float64)
PAIRS: dict[str, tuple[Callable[..., Tensor], Callable[[Tensor], Tensor]]] = {
    "hardshrink": (lambda x, **o: softtorch.hardshrink(x, 0.4, **o), lambda x: F.hardshrink(x, 0.4)),
    "softshrink": (lambda x, **o: softtorch.softshrink(x, 0.4, **o), lambda x: F.softshrink(x, 0.4)),
    "prelu": (lambda x, **o: softtorch.prelu(x, WEIGHT.to(x.dtype), **o), lambda x: F.prelu(x, WEIGHT.to(x.dtype))),
}
PAIR = pytest.mark.parametrize("name", PAIRS)
MODE = pytest.mark.parametrize("mode", ["smooth", "c0", "c1", "c2"])


def values() -> Tensor:
    return torch.randn(4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@PAIR
@MODE
def test_the_limit_and_mode_hard_are_torchs(name: str, mode: str) -> None:
    soft, hard = PAIRS[name]
    x = values()
    assert torch.equal(soft(x, mode="hard"), hard(x))
    # No entry is nearer than 1e-4 to an edge, which is 100 softnesses.
    assert torch.allclose(soft(x, softness=1e-6, mode=mode), hard(x), atol=1e-5)


@PAIR
@MODE
def test_the_gradient_is_that_of_the_value(name: str, mode: str) -> None:
    assert gradcheck(lambda x: PAIRS[name][0](x, softness=0.3, mode=mode), values()[:2].requires_grad_())


@PAIR
def test_infinities_and_nan_come_through(name: str) -> None:
    soft, hard = PAIRS[name]
    x = torch.tensor([torch.inf, -torch.inf, torch.nan]).reshape(1, 1, 3).expand(1, 3, 3)
    assert torch.equal(soft(x).nan_to_num(7.0), hard(x).nan_to_num(7.0))


@PAIR
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_straight_through_has_the_bits_of_torch(name: str, dtype: torch.dtype) -> None:
    x = values().to(dtype).requires_grad_()
    straight = {
        "hardshrink": lambda x: softtorch.hardshrink_st(x, 0.4),
        "softshrink": lambda x: softtorch.softshrink_st(x, 0.4),
        "prelu": lambda x: softtorch.prelu_st(x, WEIGHT.to(dtype)),
    }[name]
    assert torch.equal(straight(x), PAIRS[name][1](x))
    assert torch.autograd.grad(straight(x).sum(), x)[0].ne(0).all()


def test_the_slope_learns() -> None:
    assert gradcheck(lambda w: softtorch.prelu(values(), w, softness=0.3), WEIGHT.clone().requires_grad_())


def test_a_weight_that_does_not_fit_is_told() -> None:
    with pytest.raises(ShapeError, match="It has 1 entry, or 3"):
        softtorch.prelu(values(), torch.ones(2))
