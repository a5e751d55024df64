"""Straight-through code of the program's own: recognised however it is written, left alone, or acted on by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
import softtorch
from softfx.rules import RULES
from tests.helpers import EXECUTOR

OP = "existing_straight_through"

SPELLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "x + (q - x).detach()": lambda x, q: x + (q - x).detach(),
    "(q - x).detach() + x": lambda x, q: (q - x).detach() + x,
    "x - (x - q).detach()": lambda x, q: x - (x - q).detach(),
    "x + (q - x).data": lambda x, q: x + (q - x).data,
    "q.detach() + x - x.detach()": lambda x, q: q.detach() + x - x.detach(),
    "q + (x - x.detach())": lambda x, q: q + (x - x.detach()),
    "x + (q.detach() - x.detach())": lambda x, q: x + (q.detach() - x.detach()),
    "torch.add(torch.sub(q, x.detach()), x)": lambda x, q: torch.add(torch.sub(q, x.detach()), x),
}
OTHERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "x + (q - x)": lambda x, q: x + (q - x),
    "x - (q - x).detach()": lambda x, q: x - (q - x).detach(),
    "x + q.detach()": lambda x, q: x + q.detach(),
    "x + 2 * (q - x).detach()": lambda x, q: x + 2 * (q - x).detach(),
    "torch.add(x, (q - x).detach(), alpha=2)": lambda x, q: torch.add(x, (q - x).detach(), alpha=2),
}


def policy(**fields: Any) -> dict[str, Any]:
    return {"preset": "keep", "rule": [{"op": OP, "action": "straight_through", **fields}]}


@EXECUTOR
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_each_spelling_turns_into_the_rotation(spelling: str, executor: str) -> None:
    program = SPELLINGS[spelling]
    x, q = torch.randn(5, 3).requires_grad_(), torch.randn(5, 3)
    report = softfx.check(program, example_inputs=(x, q))
    assert [(site.op, site.action) for site in report.sites] == [(OP, "keep")]
    soft = softfx.soften(program, policy(estimator="rotation"), example_inputs=(x, q), executor=executor)
    hard, weights = program(x, q), torch.randn(5, 3)
    assert torch.equal(soft(x, q), hard)
    (gradient,) = torch.autograd.grad((soft(x, q) * weights).sum(), x)
    (wanted,) = torch.autograd.grad((softtorch.rotation(x, hard.detach()) * weights).sum(), x)
    assert torch.equal(gradient, wanted)


@pytest.mark.parametrize("spelling", OTHERS)
def test_other_sums_are_not_taken_for_it(spelling: str) -> None:
    x, q = torch.randn(5, 3), torch.randn(5, 3)
    assert not softfx.check(OTHERS[spelling], example_inputs=(x, q)).sites


def one_hot_by(scores: Tensor, values: Tensor) -> Tensor:
    hard = F.one_hot(scores.argmax(-1), scores.shape[-1]).float()
    p = scores.softmax(-1)
    return (hard - p.detach() + p) @ values


@EXECUTOR
def test_a_choice_with_the_derivative_of_its_probabilities_keeps_that_derivative(executor: str) -> None:
    scores, values = torch.randn(4, 5).requires_grad_(), torch.randn(5)
    soft = softfx.soften(one_hot_by, example_inputs=(scores, values), executor=executor)
    assert {site.op: site.action for site in soft.report.sites} == {"argmax": "keep", OP: "keep"}
    assert torch.equal(soft(scores, values), one_hot_by(scores, values))
    gradients = [torch.autograd.grad(f(scores, values).sum(), scores)[0] for f in (soft, one_hot_by)]
    assert torch.equal(*gradients)


@EXECUTOR
def test_named_it_takes_the_derivative_of_what_made_the_value(executor: str) -> None:
    scores, values = torch.randn(4, 5).requires_grad_(), torch.randn(5)
    named = {"rule": [{"op": ["argmax", OP], "action": "straight_through", "softness": 0.1}]}
    soft = softfx.soften(one_hot_by, named, example_inputs=(scores, values), executor=executor)
    assert torch.equal(soft(scores, values), one_hot_by(scores, values))
    (gradient,) = torch.autograd.grad(soft(scores, values).sum(), scores)
    (wanted,) = torch.autograd.grad((softtorch.argmax_st(scores, -1) @ values).sum(), scores)
    assert torch.allclose(gradient, wanted, atol=1e-6)  # float32 rounding


def test_every_code_is_one_rule() -> None:
    codes = [rule.code for rule in RULES.values()]
    assert len(codes) == len(set(codes))
