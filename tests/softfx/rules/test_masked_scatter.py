"""masked_scatter by a soft mask: where it is true the next of the source, by how often it was true before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from softfx.runtime import selections
from tests.helpers import EXECUTORS, gradient

X = torch.tensor([[1.3, -2.2, 0.6, -0.3], [-0.4, 0.8, -1.1, 2.1]])
SOURCE = torch.tensor([3.0, -1.0, 2.0, 5.0, 4.0, 7.0, -6.0, 1.0])


def in_place(x: Tensor) -> Tensor:
    y = x * 1
    y.masked_scatter_(x > 0, SOURCE)
    return y


def of_its_own_rows(x: Tensor) -> Tensor:
    mask = x > 0
    return x.masked_scatter(mask, x[mask].exp())


def of_columns(x: Tensor) -> Tensor:  # the source is in the order of rows
    mask = x[0] > 0
    return x.masked_scatter(mask, x.T[mask].contiguous())


PROGRAMS: dict[str, Callable[[Tensor], Tensor]] = {
    "a constant": lambda x: x.masked_scatter(x > 0, SOURCE),
    "itself": lambda x: x.masked_scatter(x > 0, (x * 2).flip(-1)),
    "torch's function": lambda x: torch.masked_scatter(input=x, mask=x > 0, source=SOURCE),
    "a mask of one row": lambda x: x.masked_scatter(x[0] > 0, SOURCE),
    "into counts": lambda x: x.round().masked_scatter(x > 0, SOURCE.round()) * x,
    "into integers": lambda x: torch.zeros(2, 4, dtype=torch.int64).masked_scatter(x > 0, SOURCE.long()) * x,
    "soft numbers by a hard mask": lambda x: (x > 0).long().masked_scatter(X > 0.5, (x > 1).long()) * x,
    "in place": in_place,
    "of its own rows": of_its_own_rows,
    "of columns": of_columns,
    "of infinities behind": lambda x: x.masked_scatter(x > 0, torch.cat([SOURCE[:4], SOURCE[4:] * torch.inf])),
}


@pytest.mark.parametrize("executor", ["eager", "auto"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_the_limit_are_the_programs(name: str, executor: str) -> None:
    program = PROGRAMS[name]
    for policy in ("gradients", "smooth"):
        soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
        softfx.set_softness(soft, 1e-5 if policy == "smooth" else 0.1)
        torch.testing.assert_close(soft(X), program(X), rtol=0, atol=1e-3 if policy == "smooth" else 0)
        assert gradient(soft, X).isfinite().all()


def into_another(x: Tensor, y: Tensor) -> Tensor:
    return y.masked_scatter(x > 0, SOURCE.to(y.dtype))


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_mask_gets_a_gradient_from_what_it_takes(executor: str, policy: str) -> None:
    soft = softfx.soften(into_another, policy, example_inputs=(X, X.flip(0)), executor=executor)
    assert soft.report.counts["blocked"] == 0
    assert (gradient(soft, X, X.flip(0)) != 0).sum() > 4


def test_the_gradient_is_that_of_the_soft_form() -> None:
    operands = X.double().requires_grad_(), X.double().flip(0).requires_grad_()
    soft = softfx.soften(into_another, "smooth", example_inputs=operands)
    softfx.set_softness(soft, 0.3)
    assert torch.autograd.gradcheck(lambda x, y: soft(x, y) * X, operands)


def test_a_source_without_elements_is_not_read() -> None:
    base = torch.tensor([1.0, 2.0])
    assert torch.equal(selections.scattered(base, torch.zeros(2), torch.zeros(0)), base)
