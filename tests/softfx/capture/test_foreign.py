"""Targets that run by themselves: what softfx cannot look into it follows another way, or says that it is the limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.errors import UnseenError
from tests.helpers import gradient

X = torch.tensor([0.3, 1.7, -0.6])


def chooses(x: Tensor) -> Tensor:
    result: Tensor = torch.cond(x.sum() > 0, lambda x: x.round() * 2, lambda x: -x, (x,))
    return result * x


def repeats(x: Tensor) -> Tensor:
    def more(n: Tensor, x: Tensor) -> Tensor:
        return n < 2

    def once(n: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return n + 1, (x * 1.5).round() * x

    result: Tensor = torch.while_loop(more, once, (torch.tensor(0), x))[1]
    return result


def quantizes(x: Tensor) -> Tensor:
    return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8).dequantize() * x


@pytest.mark.parametrize("policy", ["keep", "gradients"])
@pytest.mark.parametrize("function", [chooses, repeats, quantizes])
def test_control_flow_operators_and_quantized_tensors_run(function: Callable[[Tensor], Tensor], policy: str) -> None:
    soft = softfx.soften(function, policy, example_inputs=(X,))
    assert torch.equal(soft(X), function(X))
    if policy != "keep" and function is not quantizes:
        assert "round" in [site.op for site in soft.report.sites if site.action == "straight_through"]


@pytest.mark.parametrize("executor", ["auto", "eager"])
def test_compiled_parts_are_seen_as_the_python_that_they_were_made_of(executor: str) -> None:
    class Part(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.round()

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.compile(Part(), backend="eager"), Part()
            self.second.compile(backend="eager")
            self.third = torch.compile(lambda x: x.round(), backend="eager", fullgraph=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x) + self.second(x * 2) + self.third(x * 3)

    model = Whole()
    soft = softfx.soften(model, example_inputs=(X,), executor=executor)
    assert torch.equal(soft(X), model(X)) and gradient(soft, X).any()
    assert soft.report.counts["straight_through"] == 3


def refuses_modes(x: Tensor) -> Tensor:
    if torch.overrides._get_current_function_mode_stack():
        raise RuntimeError("not under a mode")
    return x.round()


def test_a_target_that_runs_by_itself_alone_is_not_blamed() -> None:
    with pytest.raises(UnseenError, match=r"it runs on its example inputs.*limit of softfx, not a fault of the target"):
        softfx.soften(refuses_modes, example_inputs=(X,))
    soft = softfx.soften(refuses_modes, "keep", example_inputs=(X,))
    assert torch.equal(soft(X), X.round())
    assert "Nothing to act on" not in str(soft.report) and "limit of softfx" in soft.report.breaks[0].reason


def test_a_target_that_does_not_run_is_told_so() -> None:
    def fails(x: Tensor) -> Tensor:
        return x.view(7)

    with pytest.raises(softfx.SoftfxError, match="Correct the inputs, or the model"):
        softfx.soften(fails, example_inputs=(X,))
