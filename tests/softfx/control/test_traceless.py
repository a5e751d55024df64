"""Runs that are made again leave no trace, and are left where they do not end."""

from __future__ import annotations

import random
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

import softfx
from tests.softfx.control.programs import policy


class Busy(nn.Module):
    """Changes whatever a module can, and draws from everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.edge = nn.Parameter(torch.tensor(0.1))
        self.norm = nn.BatchNorm1d(2)
        self.calls, self.log = 0, list[float]()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor, scratch: Tensor, notes: list[str]) -> Tensor:
        self.calls += 1
        self.seen += 1
        self.log.append(self.calls)
        noise = torch.rand(()) + random.random() + float(numpy.random.rand())
        print("called")
        y = self.norm(x).mean() + noise * 0.01
        for _ in range(3):
            if y > self.edge:
                y = y - 0.4
                scratch += 1
                notes.append("down")
            else:
                y = y + 0.3 + torch.rand(()) * 0.01
        return y


def state(module: Busy) -> list[Any]:
    tensors = [tensor.clone() for tensor in (*module.parameters(), *module.buffers())]
    return [*tensors, module.calls, list(module.log)]


@pytest.mark.parametrize("samples", [0, 2])
def test_a_call_changes_what_the_original_changes_and_nothing_else(
    samples: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def after(call: Any, module: Busy) -> list[Any]:
        torch.manual_seed(3)
        random.seed(3)
        numpy.random.seed(3)
        scratch, notes = torch.zeros(()), list[str]()
        result = call(torch.arange(6.0).reshape(3, 2), scratch, notes)
        drawn = (torch.rand(()).item(), random.random(), float(numpy.random.rand()))
        return [result.detach(), scratch, notes, *drawn, *state(module)]

    original, other = Busy(), Busy()
    example = (torch.ones(3, 2), torch.zeros(()), [])
    soft = softfx.soften(other, policy(samples=samples, softness=1.0), example_inputs=example)
    capsys.readouterr()
    expected = after(original, original)
    printed = capsys.readouterr().out
    found = after(soft, soft)
    assert capsys.readouterr().out == printed, "prints are let through once"
    for one, two in zip(found, expected, strict=True):
        assert torch.equal(one, two) if isinstance(one, Tensor) else one == two


def test_a_derivative_reaches_parameters_of_modules_and_hooks_stay() -> None:
    soft = softfx.soften(
        Busy(), policy(samples=1, softness=1.0), example_inputs=(torch.ones(3, 2), torch.zeros(()), [])
    )
    soft(torch.arange(6.0).reshape(3, 2), torch.zeros(()), []).backward()
    assert soft.edge.grad is not None and soft.edge.grad != 0


def test_a_run_that_raises_is_dropped_and_named() -> None:
    table = [1.0, 2.0]

    def program(x: Tensor) -> Tensor:
        return x * table[0 if x > 0.0 else 5]

    x = torch.tensor(0.01, requires_grad=True)
    soft = softfx.soften(program, policy(samples=0), example_inputs=(x,))
    assert torch.autograd.grad(soft(x), x)[0] == 1.0
    (site,) = [site for site in soft.report.sites if site.family == "control"]
    assert "dropped 1 of 1 time: IndexError" in site.reason
    assert "1 turn had no result" in " ".join(soft.report.control)


def test_a_drawn_path_that_raises_is_replaced_by_the_programs_own() -> None:
    def program(x: Tensor) -> Tensor:
        return x * [1.0, 2.0][0 if x > 0.0 else 5]

    x = torch.tensor(0.01, requires_grad=True)
    soft = softfx.soften(program, policy(samples=1, softness=10.0, seed=1), example_inputs=(x,))
    for _ in range(12):
        assert torch.autograd.grad(soft(x), x)[0] == 1.0
    assert any("replaced by the program's own: IndexError" in line for line in soft.report.control)


def test_a_run_that_does_not_end_is_left_although_the_program_catches_everything() -> None:
    def program(x: Tensor) -> Tensor:
        y = x
        try:
            while not (y > 0.0):
                y = y * 2
        except Exception:
            y = x
        return y

    x = torch.tensor(0.5, requires_grad=True)
    soft = softfx.soften(program, policy(samples=0), example_inputs=(x,))
    negative = torch.tensor(0.001, requires_grad=True)
    assert soft(negative) == negative

    def endless(x: Tensor) -> Tensor:
        y = x
        if x > 0.0:
            return y
        while True:
            y = y + 1

    soft = softfx.soften(endless, policy(samples=0, limit=3), example_inputs=(x,))
    soft(negative).backward()
    (site,) = [site for site in soft.report.sites if site.family == "control"]
    assert "more than 3 times the calls of the first run" in site.reason


def test_results_of_another_shape_are_told() -> None:
    x = torch.tensor(0.01, requires_grad=True)
    soft = softfx.soften(lambda x: x.expand(2) if x > 0.0 else x.expand(3), policy(samples=0), example_inputs=(x,))
    assert soft(x).shape == (2,)
    (site,) = [site for site in soft.report.sites if site.family == "control"]
    assert "a result of another shape" in site.reason


def test_without_gradients_there_is_one_run() -> None:
    runs = []

    def program(x: Tensor) -> Tensor:
        runs.append(None)
        return x * 2 if x > 0.0 else x

    x = torch.tensor(0.5, requires_grad=True)
    soft = softfx.soften(program, policy(samples=2), example_inputs=(x,))
    before = len(runs)
    with torch.no_grad():
        soft(x)
    assert len(runs) == before + 1


def test_inside_a_transform_it_says_so() -> None:
    soft = softfx.soften(lambda x: x * 2 if x > 0.0 else x, policy(samples=0), example_inputs=(torch.tensor(0.5),))
    with pytest.raises(softfx.ControlError, match=r"torch\.func transform"):
        torch.func.vmap(soft)(torch.ones(3))


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.edge = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.edge if x.sum() > self.edge else -x


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "record",
    [
        lambda soft, x: torch.export.export(soft, (x,)),
        lambda soft, x: torch.jit.trace(soft, (x,)),
        lambda soft, x: make_fx(soft)(x),
    ],
    ids=["export", "trace", "make_fx"],
)
def test_where_a_graph_is_recorded_it_says_so(record: Any) -> None:
    x = torch.tensor([0.1, 0.3])
    soft = softfx.soften(Gate(), policy(samples=0, softness=1.0), example_inputs=(x,))
    with pytest.raises(softfx.ControlError, match="Legal are ordinary calls"):
        record(soft, x)


def test_where_nothing_may_be_left_to_python_the_compiler_says_why() -> None:
    x = torch.tensor(0.6, requires_grad=True)
    soft = softfx.soften(lambda x: x if x > 0.5 else 2 * x, policy(), example_inputs=(x,))
    compiled = torch.compile(lambda x: soft(x) + 1, fullgraph=True, backend="eager")
    with pytest.raises(Exception, match=r"softfx: this softened call runs Python, which no graph holds\. Legal is"):
        compiled(x)


def test_under_torch_compile_the_derivative_is_the_same() -> None:
    x = torch.tensor([0.1, 0.3])
    soft = softfx.soften(Gate(), policy(samples=0, softness=1.0), example_inputs=(x,))
    compiled = torch.compile(soft, backend="eager")
    expected, found = (torch.autograd.grad(call(x).sum(), soft.edge)[0] for call in (soft, compiled))
    assert expected != 0 and torch.equal(found, expected)


@pytest.mark.parametrize("how", ["generator", "seed"])
def test_draws_are_repeatable_and_leave_the_programs_random_state(how: str) -> None:
    x = torch.tensor(0.01, requires_grad=True)

    def gradients() -> list[float]:
        fields: dict[str, Any] = {"seed": 5} if how == "seed" else {}
        generator = torch.Generator().manual_seed(5) if how == "generator" else None
        wanted = policy(samples=1, softness=5.0, **fields)
        program = lambda x: x * x if x > 0.0 else x - 1  # noqa: E731
        soft = softfx.soften(program, wanted, example_inputs=(x,), generator=generator)
        return [torch.autograd.grad(soft(x), x)[0].item() for _ in range(8)]

    before = torch.get_rng_state()
    first = gradients()
    assert first == gradients() and len(set(first)) > 1
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_that_is_none_is_refused() -> None:
    with pytest.raises(softfx.TargetError, match=r"generator is a int\. Legal is a torch\.Generator"):
        softfx.soften(torch.round, example_inputs=(torch.ones(1),), generator=5)  # type: ignore[arg-type]


def written(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Results that were written in place, one of them by the branch."""
    moved = x * 1
    moved -= 1.0
    scaled = y * 1
    if y.sum() > 0:
        scaled.mul_(2.0)
    scaled += moved
    return moved, scaled, x


@pytest.mark.parametrize("fields", [{}, {"samples": 1}, {"samples": 3}, {"samples": 2, "exact": 4}], ids=str)
@pytest.mark.parametrize("y", [1.0, -1.0])
def test_results_that_were_written_in_place_keep_their_values(fields: dict[str, int], y: float) -> None:
    inputs = torch.rand(4, requires_grad=True), torch.full((4,), y, requires_grad=True)
    soft = softfx.soften(written, policy(**fields), example_inputs=inputs)
    for _ in range(2):
        results = soft(*inputs)
        assert all(torch.equal(one, other) for one, other in zip(results, written(*inputs), strict=True))
        (gradient,) = torch.autograd.grad(results[1].sum(), inputs[1])
        assert gradient.isfinite().all() and gradient.any()


calls, tally = 0, torch.zeros(())


def count() -> None:
    global calls
    calls += 1


def seldom_writes(x: Tensor) -> Tensor:
    """Its count is a global, which another function of the file binds."""
    count()
    if calls % 7 == 0:
        tally.add_(1)
    return x * 2 if x > 0.3 else x * 3


class SeldomWrites(nn.Module):
    """Its count is an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("tally", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls % 7 == 0:
            self.tally.add_(1)
        return x * 2 if x > 0.3 else x * 3


@pytest.mark.parametrize("samples", [0, 1, 3])
def test_a_global_that_counts_and_what_is_written_by_it_are_as_after_one_run(samples: int) -> None:
    x = torch.tensor(0.31, requires_grad=True)
    start, written = calls, tally.clone()
    soft = softfx.soften(seldom_writes, policy(samples=samples, softness=1.0), example_inputs=(x,))
    assert calls == start and torch.equal(tally, written)
    for _ in range(21):
        soft(x)
    assert calls == start + 21 and tally == written + 3


@pytest.mark.parametrize("samples", [0, 1, 3])
def test_so_is_what_is_written_by_an_attribute_that_counts(samples: int) -> None:
    x = torch.tensor(0.31, requires_grad=True)
    soft = softfx.soften(SeldomWrites(), policy(samples=samples, softness=1.0), example_inputs=(x,))
    for _ in range(21):
        soft(x)
    assert soft.calls == 21 and soft.tally == 3
