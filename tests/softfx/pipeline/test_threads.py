"""Threads: sites met at once, a model that is trained while it is softened, and errors anywhere leave all as it was."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.decisions.policy import Policy
from softfx.decisions.sites import Sites
from softfx.locations import Location
from softfx.rules import RULES
from tests.helpers import gradient

X = torch.tensor([0.3, 1.7, -0.6])


@pytest.fixture
def busy_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(count: int, work: Callable[[int], object]) -> None:
    """Run `work(0)`, `work(1)`, ... in a thread each, started at once."""
    gate, errors = threading.Barrier(count), []

    def run(number: int) -> None:
        gate.wait()
        try:
            work(number)
        except BaseException as error:  # told to the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@pytest.mark.usefixtures("busy_switches")
def test_sites_that_threads_meet_at_once_have_one_number_each() -> None:
    for _ in range(20):
        sites = Sites(Policy.load("straight-through"))

        def meet(number: int, sites: Sites = sites) -> None:
            for line in range(200):
                place = Location("file.py", line + 100 * (number % 3))
                decision = sites.at(RULES["round"], place)
                assert sites[decision.id].location == place

        together(6, meet)
        assert [decision.id for decision in sites] == list(range(400))


class Methods(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.round()

    def other(self, x: Tensor) -> Tensor:
        return (x.sign() * x).floor() + x.argmax() * x


@pytest.mark.usefixtures("busy_switches")
def test_a_method_that_threads_call_first_at_once_gives_what_one_gives() -> None:
    alone = softfx.soften(Methods(), example_inputs=(X,), executor="eager")
    wanted = gradient(alone.other, X)
    for _ in range(5):
        soft = softfx.soften(Methods(), example_inputs=(X,), executor="eager")
        found: dict[int, Tensor] = {}
        together(8, lambda number, soft=soft, found=found: found.update({number: gradient(soft.other, X)}))
        assert len(found) == 8 and all(torch.equal(value, wanted) for value in found.values())
        assert [site.action for site in soft.report.sites] == [site.action for site in alone.report.sites]


class Counting(nn.Module):
    """Counts its calls in buffers, in every way of writing one."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.inner = nn.Module()
        self.inner.register_buffer("calls", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        self.inner.calls[0].add_(1)
        return self.norm(x).round() + self.inner.calls[0]


def test_softening_neither_sees_nor_puts_back_what_another_thread_writes() -> None:
    model, x, stop, count = Counting(), torch.randn(8, 6), threading.Event(), [0]

    def train() -> None:
        while not stop.is_set():
            model(x)
            count[0] += 1

    thread = threading.Thread(target=train)
    thread.start()
    for _ in range(5):
        softfx.soften(model, example_inputs=(x,))
    stop.set()
    thread.join()
    assert model.norm.num_batches_tracked == count[0] and model.inner.calls[0] == count[0]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
def test_an_error_at_any_call_leaves_everything_as_it_was(error: type[BaseException], fails_at: int) -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.items, self.calls = nn.BatchNorm1d(3), [torch.zeros(1)], 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.items.append(x)
            called = next(times)  # which softening does not put back
            y = self.norm(torch.rand(4, 3) + x)
            with torch.no_grad():
                if called == fails_at:
                    raise error("as asked")
            return y.round()

    times: Iterator[int] = itertools.count(1)
    model = Fails()
    kept, state = list(model.items), torch.get_rng_state()
    try:
        soft = softfx.soften(model, example_inputs=(X,), executor="eager")
        times = itertools.repeat(fails_at)  # where softening has not come to it, the softened call does
        soft(X)
    except (error, softfx.SoftfxError):
        pass
    assert torch.is_grad_enabled() and not torch.overrides._get_current_function_mode_stack()
    assert model.calls == 0 and len(model.items) == len(kept)
    if fails_at < 3:
        assert torch.equal(torch.get_rng_state(), state) and model.norm.num_batches_tracked == 0
