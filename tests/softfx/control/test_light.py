"""Runs under no function mode give what watched runs give, and are left where they would not."""

from __future__ import annotations

import threading
from collections import Counter
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.capture.held import HeldState
from softfx.control.given import ShownByGiven
from softfx.pipeline.control_runs import ControlRuns
from tests.softfx.control.programs import PROGRAMS, policy, total
from tests.softfx.control.simulators import SIMULATORS

CALLS = 4
BOTH = [(program.function, torch.tensor(program.at)) for program in (*PROGRAMS, *SIMULATORS)]


def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many runs of each kind are made from now on."""
    counts: Counter[str] = Counter()
    for name, kind in (("_lightly", "_lightly"), ("_turned", "_lightly"), ("_watched", "_watched")):
        original = getattr(ControlRuns, name)

        def counted(*args: Any, _original: Any = original, _name: str = kind) -> Any:
            counts[_name] += 1
            return _original(*args)

        monkeypatch.setattr(ControlRuns, name, counted)
    return counts


def results(function: Any, at: Tensor, samples: int) -> list[Tensor]:
    """Values and gradients of calls in a row."""
    generator = torch.Generator().manual_seed(5)
    x = at.clone().requires_grad_()
    soft = softfx.soften(function, policy(samples=samples, softness=0.3), example_inputs=(x,), generator=generator)
    found = []
    for call in range(CALLS):
        place = (at + 0.01 * call).requires_grad_()
        value = total(soft(place))
        gradient = torch.autograd.grad(value, place)[0] if value.requires_grad else torch.zeros_like(at)
        found += [value.detach(), gradient]
    return found


@pytest.mark.parametrize("samples", [0, 2])
@pytest.mark.parametrize(("function", "at"), BOTH, ids=lambda item: getattr(item, "__name__", ""))
def test_they_give_what_watched_runs_give(
    function: Any, at: Tensor, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = results(function, at, samples)
    monkeypatch.setattr(ControlRuns, "_lightens", lambda self, wanted: False)
    torch.testing.assert_close(light, results(function, at, samples))


def halves(x: Tensor) -> Tensor:
    y = x
    while y > 0.1:
        y = y * 0.5 if y < 0.4 else y - 0.2
    return y


def test_a_target_that_has_shown_what_it_does_is_run_lightly(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor(1.0, requires_grad=True)
    soft = softfx.soften(halves, policy(samples=1, seed=0), example_inputs=(x,))
    for _ in range(8):  # until the drawn paths have shown each answer
        soft(x)
    counts = made(monkeypatch)
    soft(x)
    assert counts["_watched"] == 0 and counts["_lightly"] >= 3


def by_list(x: Tensor) -> Tensor:
    return x * 2 if (x > 0.3).reshape(1).tolist()[0] else -x


def by_equal(x: Tensor) -> Tensor:
    return x * 2 if torch.allclose(x, torch.tensor(0.3), atol=0.05) else -x


class Writes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if x > 0.3:
            self.seen += 1
            return x * 2
        return -x


@pytest.mark.parametrize("target", [by_list, by_equal, Writes()], ids=["tolist", "allclose", "buffers"])
def test_what_they_cannot_follow_is_watched(target: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor(0.35, requires_grad=True)
    soft = softfx.soften(target, policy(samples=1, softness=2.0, seed=0), example_inputs=(x,))
    soft(x)
    counts = made(monkeypatch)
    soft(x)
    assert counts["_lightly"] == 0 and counts["_watched"] > 0


def writes_late(x: Tensor, seen: Tensor, prints: bool) -> Tensor:
    if prints:
        print("called")
    if x > 0.3:
        seen.add_(1)
        return x * 2
    return -x


def test_what_was_not_shown_is_met_under_a_mode_and_leaves_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    seen = torch.zeros(())
    low, high = torch.tensor(-3.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    soft = softfx.soften(writes_late, policy(samples=0, softness=1e-3), example_inputs=(low, seen, False))
    for _ in range(3):
        soft(low, seen, False)  # the margin is far: nothing is turned
    capsys.readouterr()
    soft(high, seen, True)
    assert seen == 1 and capsys.readouterr().out == "called\n"


def test_the_class_of_tensors_is_as_it_was_and_other_threads_do_not_notice() -> None:
    before = dict(vars(Tensor))
    inside: list[bool] = []

    def other() -> None:
        inside.append(bool(torch.tensor(1.0) > 0.5) and int(torch.tensor(3.7)) == 3)

    def threaded(x: Tensor) -> Tensor:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x * 2 if x > 0.3 else -x

    x = torch.tensor(0.4, requires_grad=True)
    soft = softfx.soften(threaded, policy(samples=1, softness=1.0, seed=0), example_inputs=(x,))
    for _ in range(3):
        soft(x)
    assert all(inside) and dict(vars(Tensor)) == before


def test_another_thread_under_a_mode_is_softened_as_ever() -> None:
    x = torch.tensor([0.2, 0.5], requires_grad=True)
    other = softfx.soften(lambda t: (t > 0.4).float().sum(), example_inputs=(x,))
    expected = torch.autograd.grad(other(x), x)[0]
    found: list[Tensor] = []

    def beside() -> None:
        found.append(torch.autograd.grad(other(x), x)[0])

    def threaded(y: Tensor) -> Tensor:
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()
        return y * 2 if y > 0.3 else -y

    y = torch.tensor(0.4, requires_grad=True)
    soft = softfx.soften(threaded, policy(samples=1, softness=1.0, seed=0), example_inputs=(y,))
    for _ in range(3):
        soft(y)
    assert found and all(torch.equal(each, expected) for each in found)


def test_what_runs_have_shown_is_not_copied() -> None:
    shown = ShownByGiven()
    shown.of((), HeldState([], [], [])).readers[1, 2] = True
    assert not deepcopy(shown).of((), HeldState([], [], [])).readers


class Levelled(nn.Module):
    """A condition on an attribute, which has a derivative as soon as that has one."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = [torch.tensor(0.45)]

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2 if x > 0.5 else x
        return y + 1 if self.kept[0] > 0.5 else y


@pytest.mark.parametrize("samples", [0, 1])
def test_a_condition_that_was_no_site_is_one_once_it_has_a_derivative(samples: int) -> None:
    x = torch.tensor(0.4, requires_grad=True)
    soft = softfx.soften(Levelled(), policy(samples=samples, softness=1.0, seed=0), example_inputs=(x,))
    for _ in range(6):
        soft(x)
    level = torch.tensor(0.45, requires_grad=True)
    soft.kept[0] = level
    for _ in range(3):
        value = soft(x)
    assert torch.autograd.grad(value, level)[0] > 0.1


def by_constants(x: Tensor) -> Tensor:
    y, steps = x * 2 if x > 0.5 else x, torch.tensor(0.0)
    while steps < 3.0:
        steps = steps + 1.0
    return y * steps


def test_a_condition_that_is_no_site_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor(0.45, requires_grad=True)
    soft = softfx.soften(by_constants, policy(samples=0, softness=1.0), example_inputs=(x,))
    for _ in range(6):
        soft(x)
    looked_up: list[object] = []
    where = ControlRuns._where
    monkeypatch.setattr(ControlRuns, "_where", lambda self: looked_up.append(None) or where(self))
    soft(x)
    assert not looked_up
