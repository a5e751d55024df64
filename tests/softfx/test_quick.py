"""The way past the engine gives what the engine gives: values, gradients and sites, whatever a program does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.interpreter.backends import Direct
from softfx.interpreter.fast_path import Habits
from softfx.interpreter.interpreter import Engine
from softfx.values.domains import Facts, Known, Values


def own_straight_through(x: Tensor, y: Tensor) -> Tensor:
    q = torch.round(x)
    return (x + (q - x).detach()) * y - (y - (y - torch.sign(y)).detach())


def counting(x: Tensor, y: Tensor) -> Tensor:
    above = (x > y).float()
    room = torch.full((), 2.0) - above.cumsum(-1)
    return torch.where(room >= 0, x * above, y.new_zeros(())).sum(-1)


def moving(x: Tensor, y: Tensor) -> Tensor:
    places = x.argsort(-1)
    pieces = torch.stack([x, y], dim=1)[:, 0, ...].contiguous().chunk(1, dim=-1)
    return torch.cat([pieces[0].gather(-1, places), y[..., :1].expand_as(x)], -1).view(-1).unsqueeze(0)


def writing(x: Tensor, y: Tensor) -> Tensor:
    z = x.clone()
    z[y > 0] = 0.5
    z += y
    return F.relu(z, inplace=True) / (1.0 + y.abs())


def detaching(x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        scale = (x * 2.0).round()
    return F.softmax(x.detach() + y, dim=-1, dtype=torch.float64).to(x.dtype) * scale + x.type_as(y).floor()


def reading(x: Tensor, y: Tensor) -> Tensor:
    best = int(torch.argmax(x.sum(-1)))
    rows = x[x > 0]
    return x[best] * y[best] + rows.sum() + (x.numel() // 2) + x.T.shape[0]


def dividing(x: Tensor, y: Tensor) -> Tensor:
    return torch.div(x, y.abs() + 0.1) + torch.div(x, 0.3, rounding_mode="floor") + x / torch.tensor([1, 2, 4, 8])


PROGRAMS = [own_straight_through, counting, moving, writing, detaching, reading, dividing]
POLICIES = ["straight-through", "smooth"]


def run(program: Callable[..., Any], policy: str, quick: bool, needs_gradient: bool) -> tuple[Any, list[Any]]:
    """Result and gradients, or the result alone, and the sites with their decisions."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(3, 4, generator=generator) for _ in range(2)]
    soft = softfx.soften(program, policy, example_inputs=tuple(inputs), executor="eager", allow_unused=True)
    leaves = [tensor.clone().requires_grad_(needs_gradient) for tensor in inputs]
    state = soft._softfx
    for _ in range(2):  # the second time habits are known
        if quick:
            result = state.eager(None, program, tuple(leaves), {})
        else:
            result = state.eager._run(Engine(state.sites, Direct()), None, program, tuple(leaves), {})
    sites = [(site.op, site.line, site.action, site.reason, site.consumers) for site in soft.report.sites]
    if not needs_gradient:
        return [result], sites
    gradients = torch.autograd.grad(result.double().sum(), leaves, allow_unused=True)
    return [result, *gradients], sites


@pytest.mark.parametrize("needs_gradient", [True, False], ids=["trained", "given"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_both_ways_give_the_same(program: Callable[..., Any], policy: str, needs_gradient: bool) -> None:
    found, sites = run(program, policy, True, needs_gradient)
    expected, expected_sites = run(program, policy, False, needs_gradient)
    assert sites == expected_sites
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.equal(mine, theirs)


def test_a_site_that_was_not_met_before_joins_the_report() -> None:
    def branching(x: Tensor) -> Tensor:
        return torch.round(x) if bool(x.sum() > 0) else F.relu(torch.floor(x))

    soft = softfx.soften(branching, example_inputs=(torch.ones(2),), executor="eager")
    x = torch.full((2,), -0.3, requires_grad=True)
    soft(x)
    assert {("floor", "straight_through"), ("relu", "keep")} <= {(s.op, s.action) for s in soft.report.sites}


def test_a_rule_registered_later_is_known_at_the_next_call() -> None:
    def program(x: Tensor) -> Tensor:
        return torch.round(x) + torch.special.erfcx(x)

    x = torch.ones(2, requires_grad=True)
    soft = softfx.soften(program, "straight-through", example_inputs=(x,), executor="eager")
    soft(x)
    softfx.register_rule(torch.special.erfcx, torch.erfc, op="test_erfcx", options=())
    try:
        soft(x)
        assert "test_erfcx" in [site.op for site in soft.report.sites]
    finally:
        from softfx.rules import RULES, SPELLING

        del RULES["test_erfcx"], SPELLING._index[torch.special.erfcx]


def test_what_was_found_is_neither_copied_nor_pickled() -> None:
    habits = Habits()
    habits.meet(torch.neg, softfx.Policy.load(None))
    assert copy.deepcopy(habits).of == {} and pickle.loads(pickle.dumps(habits)).of == {}


def test_of_what_a_flag_says_nothing_is_remembered() -> None:
    values, weight = Values(), torch.ones(2, requires_grad=True)
    assert values.known(weight).tainted and not values.known(torch.ones(2)).tainted
    values.set(weight, Known(True))
    assert not values.entries
    values.set(weight, Known(True, carries=frozenset({1})))
    assert values.known(weight).carries == {1}


def test_facts_do_not_grow_without_end() -> None:
    facts = Facts()
    for number in range(3 * facts._MOST):
        facts.of(Known(False, fill=float(number)))
    assert len(facts._known) <= facts._MOST + 1
