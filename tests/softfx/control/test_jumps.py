"""Comparisons that a condition reads at once are answered without a tensor, and nothing else is."""

from __future__ import annotations

import dis
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import softfx
from softfx.control.guards import read_by
from softfx.control.settings import runs_alone
from softfx.pipeline.control_runs import ControlRuns
from tests.softfx.control.programs import policy

CALLS = 6


def kept(x: Tensor) -> Tensor:
    above = x > 0.3
    y = x * 2 if above else -x
    return y * above + (y if not above else y * y)


def chained(x: Tensor) -> Tensor:
    return x * 2 if 0.1 < x < 0.6 else -x


def negated(x: Tensor) -> Tensor:
    return x * 2 if not x < 0.3 and x <= 2 else -x


def of_other_types(x: Tensor) -> Tensor:
    if x.double() > 0.3:
        x = x * 2
    if x.half() > 0.3:
        x = x + 1
    if (x * 10).int() > 3:
        x = x * x
    if x.reshape(1, 1) >= torch.tensor([0.5]):
        x = x - 0.2
    return x if x.double() < torch.tensor(1.5) else -x


def of_infinities(x: Tensor) -> Tensor:
    best, y = torch.tensor(float("inf")), x
    while y > 0.1:
        if y <= best:
            best = y
        y = y * 0.5
    return best + (x if best >= float("-inf") else -x)


def of_counts(x: Tensor) -> Tensor:
    count, y = torch.zeros(()), x
    for _ in range(4):
        count = count + (y > 0.3)
        y = y * 0.8
    return x * count if count > 1.5 else -x


def searched(x: Tensor) -> Tensor:
    return x * 2 if max(x, 1 - x) > 0.55 and sorted([x, x * x])[0] < 0.3 else -x


def gradients(function: Any, samples: int) -> list[Tensor]:
    x = torch.tensor(0.4, requires_grad=True)
    generator = torch.Generator().manual_seed(3)
    soft = softfx.soften(function, policy(samples=samples, softness=0.5), example_inputs=(x,), generator=generator)
    found = []
    for call in range(CALLS):
        at = (x.detach() + 0.02 * call).requires_grad_()
        value = soft(at)
        assert torch.equal(value, function(at))
        found.append(torch.autograd.grad(value, at)[0])
    return found


@pytest.mark.parametrize("samples", [0, 2])
@pytest.mark.parametrize("program", [kept, chained, negated, of_other_types, of_infinities, of_counts, searched])
def test_they_give_what_tensors_give(
    program: Callable[[Tensor], Tensor], samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = gradients(program, samples)
    monkeypatch.setattr(ControlRuns, "_lightens", lambda self, wanted: False)
    torch.testing.assert_close(light, gradients(program, samples))


class Counting(TorchFunctionMode):
    """A mode of the program's own."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[func.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_a_mode_of_the_program_is_told_of_every_comparison() -> None:
    told: list[int] = []

    def program(x: Tensor) -> Tensor:
        with Counting() as counting:
            y = x * 2 if x > 0.3 else -x
        told.append(counting.seen["gt"] + counting.seen["__gt__"])
        return y

    x = torch.tensor(0.35, requires_grad=True)
    soft = softfx.soften(program, policy(samples=1, softness=1.0, seed=0), example_inputs=(x,))
    for _ in range(CALLS):
        soft(x)
    assert set(told) == {1}


def test_what_else_sees_a_comparison_is_found_in_the_bytecode() -> None:
    def program(x: Any, y: Any) -> Any:
        kept = x < y
        if (x < y) is None or f(x < y):
            return kept
        return x < y or y

    def f(x: Any) -> Any:
        return x

    comparisons = [step for step in dis.get_instructions(program) if step.opname == "COMPARE_OP"]
    assert len(comparisons) == 4
    assert not any(read_by(program.__code__, step.offset) for step in comparisons)


class Rests(nn.Module):
    """A module of the program's own."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x > 0.3 else -x


class Exits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
            if x.mean() > 0.2:
                break
        return x.sum()


def test_an_instruction_says_which_site_it_is_where_no_other_module_runs_the_programs_code() -> None:
    assert runs_alone(Exits()) and runs_alone(len)
    assert not runs_alone(nn.Sequential(Rests(), Rests()))
    hooked = Exits()
    hooked.layers[0].register_forward_hook(lambda *_: None)
    assert not runs_alone(hooked)


def test_a_module_is_run_lightly_with_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> list[Tensor]:
        torch.manual_seed(0)
        model, x = Exits(), torch.randn(4)
        soft = softfx.soften(model, policy(samples=2, softness=1.0, seed=0), example_inputs=(x,))
        gradients: list[Tensor] = []
        for _ in range(CALLS):
            soft.zero_grad()
            soft(x).backward()
            gradients += [p.grad.clone() for p in soft.parameters() if p.grad is not None]
        return gradients

    light = found()
    monkeypatch.setattr(ControlRuns, "_lightens", lambda self, wanted: False)
    torch.testing.assert_close(light, found())
