"""scope = "module": a module is run again alone, and what follows it is linearised."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.softfx.control.programs import policy


class Gate(nn.Module):
    """A branch, with noise, a buffer and a count that a run changes."""

    def __init__(self, edge: float) -> None:
        super().__init__()
        self.edge = nn.Parameter(torch.tensor(edge))
        self.register_buffer("seen", torch.zeros(()))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen += 1
        for _ in range(2):
            x = x * 2 + 0.01 * torch.rand(()) if x.sum() > self.edge else x - 1
        return x


class Network(nn.Module):
    def __init__(self, bends: bool = False) -> None:
        super().__init__()
        self.first, self.second, self.bends = Gate(0.4), Gate(0.9), bends
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        y: Tensor = self.second(self.first(x) * 0.5)
        return y.square() if self.bends else y * 3


X = torch.tensor([0.2, 0.21])


def softened(network: nn.Module, scope: str, **fields: Any) -> Any:
    torch.manual_seed(7)  # the spreads are measured by a run that draws
    wanted = policy(softness=1.0, scope=scope, **fields)
    return softfx.soften(network, wanted, example_inputs=(X,), generator=torch.Generator().manual_seed(0))


def gradients(scope: str, bends: bool = False, draws: int = 1, **fields: Any) -> tuple[Tensor, list[Tensor]]:
    """The value, and the mean gradient of both edges."""
    soft = softened(Network(bends), scope, **fields)
    found = []
    for draw in range(draws):
        torch.manual_seed(draw if draws > 1 else 0)
        value = soft(X).sum()
        found.append(torch.autograd.grad(value, [soft.first.edge, soft.second.edge]))
    return value.detach(), [torch.stack(list(each)) for each in zip(*found, strict=True)]


@pytest.mark.parametrize("samples", [0, 1])
def test_the_value_is_the_originals_and_a_call_leaves_what_a_call_leaves(samples: int) -> None:
    original, other = Network(True), Network(True)
    soft = softened(other, "module", samples=samples)
    torch.manual_seed(3)
    expected, drawn = original(X), torch.rand(())
    before = other.first.calls, other.runs
    torch.manual_seed(3)
    assert torch.equal(soft(X), expected) and torch.equal(torch.rand(()), drawn)
    assert (soft.first.seen, soft.second.seen) == (original.first.seen, original.second.seen)
    assert (soft.first.calls - before[0], soft.runs - before[1]) == (1, 1)
    assert not soft.first._forward_hooks and not soft.first._forward_pre_hooks


def test_of_the_last_module_it_is_the_derivative_of_the_whole_call() -> None:
    """The second gate is followed by a product with a constant, so that its difference goes on as it is."""
    (value, (_, whole)), (same, (_, alone)) = (gradients(scope, samples=0) for scope in ("model", "module"))
    assert value == same and alone != 0
    torch.testing.assert_close(whole, alone)


def test_the_derivative_is_linearised_where_something_bends() -> None:
    """(f + d)^2 - f^2 is the difference of the whole call, 2 f d the module's."""
    soft = softened(Network(True), "module", samples=0, turns=50)
    torch.manual_seed(0)
    result = soft.second(soft.first(X) * 0.5)
    linear = softened(Network(), "module", samples=0, turns=50)
    torch.manual_seed(0)
    value = linear(X)
    weighted = torch.autograd.grad((value * 2 * result.detach() / 3).sum(), linear.second.edge)[0]
    torch.manual_seed(0)
    (found,) = torch.autograd.grad(soft(X).sum(), soft.second.edge)
    assert found != 0
    torch.testing.assert_close(found, weighted)


def test_with_samples_the_last_modules_derivative_agrees_with_the_whole_calls() -> None:
    draws = 40
    whole, alone = (gradients(scope, draws=draws, samples=1)[1][1] for scope in ("model", "module"))
    error = ((whole.var() + alone.var()) / draws).sqrt()
    assert abs(whole.mean() - alone.mean()) < 3.5 * error


def test_the_whole_is_run_no_more_than_without_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: dict[str, int] = {"whole": 0, "gate": 0}
    for kind, name in ((Network, "whole"), (Gate, "gate")):
        original = kind.forward

        def counted(self: Any, x: Tensor, _original: Any = original, _name: str = name) -> Tensor:
            runs[_name] += 1
            result: Tensor = _original(self, x)
            return result

        monkeypatch.setattr(kind, "forward", counted)
    soft = softened(Network(), "module", samples=0)
    runs.update(whole=0, gate=0)
    soft(X)
    assert runs == {"whole": 1, "gate": 2 + 4}, "two decisions in each gate"


def test_the_report_says_that_it_is_biased() -> None:
    report = softfx.check(Network(), policy(scope="module", samples=1), example_inputs=(X,))
    assert any('scope = "module"' in line and "biased" in line for line in report.control)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"op": "round", "action": "straight_through", "scope": "module"}, "scope = 'module' is for control flow"),
        ({"op": "branch", "action": "straight_through", "scope": "module", "exact": 4}, "exact = 4 runs all paths"),
    ],
)
def test_where_it_does_not_fit_is_said(rule: dict[str, Any], message: str) -> None:
    def program(x: Tensor) -> Tensor:
        return x.round() if x > 0.2 else x

    with pytest.raises(softfx.PolicyError, match=message):
        softfx.soften(program, {"rule": [rule]}, example_inputs=(torch.tensor(0.5, requires_grad=True),))
