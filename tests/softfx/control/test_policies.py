"""What policies say of control flow, and what reports say of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.softfx.control.programs import by_cond, heater, looked_up, measured, policy, repeats

EXAMPLE = (torch.tensor(0.5, requires_grad=True),)


def control(soft: Any) -> list[Any]:
    return [site for site in soft.report.sites if site.family == "control"]


@pytest.mark.parametrize(
    ("program", "operation"),
    [(heater, "branch"), (repeats, "read_integer"), (looked_up, "read_integer"), (by_cond, "cond")],
)
def test_each_decision_is_a_site_with_its_line(program: Any, operation: str) -> None:
    (site,) = control(softfx.soften(program, policy(), example_inputs=EXAMPLE))
    assert (site.op, site.action, site.softness) == (operation, "straight_through", 0.05)
    assert site.file == program.__code__.co_filename and site.line > program.__code__.co_firstlineno


def test_a_real_number_is_turned_where_the_policy_says_by_what() -> None:
    wanted = {"rule": [{"op": "@control", "action": "straight_through"}]}
    soft = softfx.soften(measured, wanted, example_inputs=EXAMPLE)
    (site,) = control(soft)
    assert (site.op, site.action) == ("read_real", "keep") and "estimator = 'difference'" in site.reason
    assert control(softfx.soften(measured, policy(), example_inputs=EXAMPLE))[0].action == "straight_through"


def test_check_says_what_a_step_costs_before_anything_is_softened() -> None:
    for fields, passes in (({"samples": 0}, 9), ({"samples": 1}, 10), ({"samples": 4, "turns": 3}, 17)):
        report = softfx.check(heater, policy(**fields), example_inputs=EXAMPLE)
        assert f"about {passes} forward passes a step" in report.control[0]
        assert f"about {passes} forward passes a step" in str(report).replace("\n", " ")


def test_the_derivative_is_said_to_be_biased_where_it_is() -> None:
    assert "biased" in softfx.check(heater, policy(samples=0), example_inputs=EXAMPLE).control[1]
    assert "unbiased" in softfx.check(heater, policy(samples=1), example_inputs=EXAMPLE).control[1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"samples": -1}, "samples = -1 is not legal. Use a whole number, 0 or more"),
        ({"turns": 0}, "turns = 0 is not legal. Use a whole number above 0"),
        ({"limit": 0.5}, "limit = 0.5 is not legal. Use a number from 1"),
        ({"seed": True}, "seed = true is not legal. Use a whole number from 0"),
        ({"estimator": "gumbel"}, "does not fit branch"),
    ],
)
def test_what_is_not_legal_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(softfx.PolicyError) as raised:
        softfx.soften(heater, policy(**fields), example_inputs=EXAMPLE)
    assert message in str(raised.value)


def test_options_of_control_sites_are_refused_for_other_operations() -> None:
    with pytest.raises(softfx.PolicyError, match="round takes no samples"):
        softfx.Policy.load({"rule": [{"op": "round", "samples": 1}]})


def test_conditions_on_constants_draws_and_shapes_are_no_decisions() -> None:
    def program(x: Tensor) -> Tensor:
        count = torch.tensor(0)
        for _ in range(3):
            if torch.rand(()) < 2.0 and count < 5 and x.dim() == 0:
                count = count + 1
        return x * count

    assert not control(softfx.soften(program, policy(), example_inputs=EXAMPLE, allow_unused=True))


def test_a_site_may_be_kept_by_its_line() -> None:
    line = heater.__code__.co_firstlineno + 3
    wanted = policy()
    wanted["rule"].append({"op": "branch", "source": f"*/programs.py:{line}", "action": "keep"})
    soft = softfx.soften(heater, wanted, example_inputs=EXAMPLE)
    assert [site.action for site in control(soft)] == ["keep"]
    assert soft(*EXAMPLE).grad_fn is None or torch.autograd.grad(soft(*EXAMPLE), EXAMPLE, allow_unused=True)[0] is None


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.edge = nn.Parameter(torch.tensor(0.4))

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > self.edge else x - 1


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.layer, self.second = Gate(), nn.Linear(2, 2), Gate()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.layer(self.first(x)).relu())
        return y.square()


def test_branches_of_submodules_are_sites_with_their_module_paths() -> None:
    torch.manual_seed(0)
    network = Network()
    x = torch.tensor([0.2, 0.21])
    soft = softfx.soften(network, policy(samples=1, softness=1.0), example_inputs=(x,))
    assert {site.module for site in control(soft)} == {"first", "second"}
    assert torch.equal(soft(x), network(x))
    soft(x).sum().backward()
    assert all(gate.edge.grad is not None and gate.edge.grad != 0 for gate in (network.first, network.second))


def test_another_site_before_and_behind_a_branch_keeps_its_own_derivative() -> None:
    def program(x: Tensor) -> Tensor:
        y = x.round() + x
        z = y * 3 if y > 1.0 else y - 1
        return z.sign() + z

    x = torch.tensor(0.45, requires_grad=True)
    soft = softfx.soften(program, policy(samples=0, softness=1.0), example_inputs=(x,))
    assert soft(x) == program(x)
    kept = softfx.soften(program, example_inputs=(x,))
    (with_turns,), (without,) = (torch.autograd.grad(s(x), x) for s in (soft, kept))
    assert with_turns != without and with_turns.isfinite()


def test_copies_and_pickles_run_softly_too() -> None:
    x = torch.tensor([0.2, 0.21])
    soft = softfx.soften(Network(), policy(samples=1, softness=1.0), example_inputs=(x,))
    other = copy.deepcopy(soft)
    other(x).sum().backward()
    assert other.first.edge.grad is not None and soft.first.edge.grad is None
