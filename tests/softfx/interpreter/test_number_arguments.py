"""Tensors where torch reads numbers of Python: a derivative that softening has given them ends there, and is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.ops.schema_private import number_places
from tests.generated.contracts import EXACT
from tests.helpers import EXECUTOR, identical, outcome

X, Y = torch.tensor([[1.2, -2.7, 0.6], [0.4, 3.3, -1.1]]), torch.linspace(-1.5, 1.0, 6).view(2, 3)

# Of an input, another one, and the share of the first that is positive.
READERS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "full": lambda x, y, rate: torch.full((2, 3), rate) * y,
    "full_like": lambda x, y, rate: torch.full_like(y, rate) * y,
    "new_full": lambda x, y, rate: y.new_full((2, 3), rate) * y,
    "alpha": lambda x, y, rate: torch.add(y, x, alpha=rate),
    "alpha of a method": lambda x, y, rate: (y * 1).sub_(x, alpha=rate),
    "value": lambda x, y, rate: torch.addcmul(y, x, y, value=rate),
    "beta": lambda x, y, rate: torch.addmm(y @ y.T, x, y.T, beta=rate),
    "leaky_relu": lambda x, y, rate: F.leaky_relu(y, rate),
    "elu": lambda x, y, rate: F.elu(y, alpha=rate),
    "threshold": lambda x, y, rate: F.threshold(y, rate, 0.0),
    "hardshrink": lambda x, y, rate: F.hardshrink(y, rate),
    "pad": lambda x, y, rate: F.pad(y, (1, 1), value=rate),
    "nan_to_num": lambda x, y, rate: torch.nan_to_num(y, nan=rate),
    "renorm": lambda x, y, rate: torch.renorm(y, 2, 0, rate),
}


@EXECUTOR
@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("name", READERS)
def test_a_tensor_that_is_read_as_a_number_gives_its_value(name: str, policy: str, executor: str) -> None:
    def program(x: Tensor, y: Tensor) -> Tensor:
        return READERS[name](x, y, (x > 0).float().mean())

    soft = softfx.soften(program, policy, example_inputs=(X, Y), executor=executor)
    ours, theirs = outcome(soft, [X, Y]), outcome(program, [X, Y])
    assert identical(ours.results[0], theirs.results[0])
    site = next(site for site in soft.report.sites if site.op == "gt")
    assert site.action in ("keep", "blocked") and site.reason


def test_a_tensor_that_is_an_operand_keeps_its_derivative() -> None:
    def program(x: Tensor, y: Tensor) -> Tensor:
        rate = (x > 0).float().mean()
        return y.clamp(max=rate) + torch.masked_fill(y, y > 0, rate) + y.lerp(x.detach(), rate)

    soft = softfx.soften(program, example_inputs=(X, Y))
    (slope, _) = outcome(soft, [X, Y]).gradients
    assert slope is not None and bool(slope.any())


def test_numbers_are_told_from_operands_by_all_forms_of_an_operator() -> None:
    assert number_places("full") == ({1}, {"fill_value"})
    assert number_places("masked_fill") == (frozenset(), frozenset())
    assert number_places("no operator") == (frozenset(), frozenset())
