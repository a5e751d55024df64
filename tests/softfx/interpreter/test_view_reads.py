"""Look-ups by a soft integer that are views in the original: no write through them, or beneath them, is missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.generated.contracts import EXACT
from tests.helpers import EXECUTOR, EXECUTORS, gradient, identical, outcome

X = torch.tensor([[1.2, -2.7, 0.6], [0.4, 3.3, -1.1]])


def written_through(x: Tensor) -> Tensor:
    y = x * 1
    y[x[:, 0].argmax()].mul_(2)
    return y


def written_beneath(x: Tensor) -> Tensor:
    y = x * 1
    i = x[:, 0].argmax()
    row = y[i]
    y[i] = 5.0
    return y * row


def a_column(x: Tensor) -> tuple[Tensor, Tensor]:
    y = x * 1
    column = y[..., x[0].argmax()]
    y.mul_(2)
    return y, column


def among_slices(x: Tensor) -> Tensor:
    y = x * 1
    part = y[x[:, 0].argmax(), None, ::2]
    part += 1
    return y


def an_element_of_a_row(x: Tensor) -> tuple[Tensor, Tensor]:
    y = x * 1
    element = y[x[:, 0].argmax()][x[0].argmax()]
    element.fill_(3.0)
    return y, element


def a_view_of_the_view(x: Tensor) -> Tensor:
    y = x * 1
    row = y[x[:, 0].argmax()]
    row.view(3, 1)[1:].zero_()
    return y


def of_a_mask(x: Tensor) -> Tensor:
    mask = x > 0
    mask[x[:, 0].argmax()].fill_(True)
    return mask * x


def a_constant_table(x: Tensor) -> Tensor:
    table = torch.arange(6.0).view(2, 3)
    table[x[:, 0].argmax()] *= 0.5
    row = table[x[:, 1].argmax()]
    row.add_(1)
    return table * x + row


def by_turns_a_view_and_a_copy(x: Tensor) -> Tensor:
    y = (x > 0).to(x.dtype)
    for table in (y.T, y):
        table.reshape(-1).mul_(2)
        table.add_(1)
    return y


PROGRAMS = [
    written_through, written_beneath, a_column, among_slices, an_element_of_a_row, a_view_of_the_view, of_a_mask,
    a_constant_table,
]  # fmt: skip


@EXECUTOR
@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_written_through_a_look_up_or_beneath_it_is_seen(
    program: Callable[[Tensor], Any], policy: str, executor: str
) -> None:
    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    ours, theirs = outcome(soft, [X]), outcome(program, [X])
    assert len(ours.results) == len(theirs.results)
    assert all(map(identical, ours.results, theirs.results))
    consumers = [use for site in soft.report.sites if site.op == "argmax" for use in site.consumers]
    assert any(use.takes == "hard" for use in consumers)


@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("program", [*PROGRAMS, by_turns_a_view_and_a_copy])
def test_what_is_written_is_seen_where_python_reads_a_number_too(program: Callable[[Tensor], Any], policy: str) -> None:
    def reading(x: Tensor) -> Any:  # planned on tensors: what the soft look-up keeps is written by the program
        return program(x * 1 if float(x.detach().sum()) < 100 else x)

    soft = softfx.soften(reading, policy, example_inputs=(X,))
    ours, theirs = outcome(soft, [X]), outcome(reading, [X])
    assert all(map(identical, ours.results, theirs.results))


@pytest.mark.parametrize("policy", EXACT)
def test_a_memory_of_the_module_that_is_written_through_a_look_up_is_there_at_the_next_call(policy: str) -> None:
    class Memory(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("rows", torch.zeros(2, 3))

        def forward(self, x: Tensor) -> Tensor:
            before = self.rows.sum() * x
            row = self.rows[x[:, 0].argmax()]
            row.copy_(x[0].detach())
            return before

    module, soft = Memory(), softfx.soften(Memory(), policy, example_inputs=(X,))
    for _ in range(2):
        assert identical(soft(X), module(X))
    assert identical(soft.rows, module.rows)
    (site,) = soft.report.sites
    assert site.action == "blocked" and "a view of what is written in place" in site.reason


@EXECUTOR
def test_a_look_up_keeps_its_derivative_where_no_write_is_missed(executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        y = x * 1
        y[x[:, 0].argmax()] *= 2.0  # reads, and writes back
        row = y[x[:, 1].argmax()]
        other = x * 0.5
        other.add_(row)
        row.mul_(3)  # what it was read from is not used any more
        return other + row

    soft = softfx.soften(program, example_inputs=(X,), executor=executor)
    assert identical(soft(X), program(X))
    assert all(site.action == "straight_through" for site in soft.report.sites)
    assert all(use.takes == "soft" for site in soft.report.sites for use in site.consumers)


@pytest.mark.parametrize("policy", EXACT)
def test_a_look_up_in_a_look_up_has_one_derivative_whatever_was_written_before(policy: str) -> None:
    def program(x: Tensor) -> Tensor:
        y = x.round()
        y.add_(0)
        return y[x[:, 0].argmax()][x[0].argmax()]

    by_graph, by_eager = (
        gradient(softfx.soften(program, policy, example_inputs=(X,), executor=executor), X) for executor in EXECUTORS
    )
    assert by_graph.any()
    torch.testing.assert_close(by_graph, by_eager)


@EXECUTOR
def test_what_looks_beyond_its_elements_lies_in_the_memory_of_the_original(executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        row = (x * 1)[x[:, 0].argmax()]
        return row.as_strided((2, 2), (3, 1)) * 2

    soft = softfx.soften(program, example_inputs=(X,), executor=executor)
    assert identical(soft(X), program(X))
    assert [site.action for site in soft.report.sites] == ["blocked"]


@EXECUTOR
@pytest.mark.parametrize("policy", EXACT)
def test_the_memory_of_one_element_that_was_looked_up_is_the_originals(policy: str, executor: Any) -> None:
    def program(x: Tensor) -> Tensor:
        column = x.round()[:, :1]
        column[0] = 1.5
        one = column[x[0].argmax() % 2]
        return one.as_strided((2, 2), (2, 1)) * 2

    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    assert identical(soft(X), program(X))
