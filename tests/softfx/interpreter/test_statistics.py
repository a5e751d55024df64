"""Comparisons of rows with an order statistic of their own: a maximum, a k-th value, a quantile."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from softfx.runtime.memberships import beside_statistic

TABLE = torch.tensor([0.3, -1.0, 0.8, 1.4, -0.2, 0.5])


def numbers(unit: float = 1.0) -> Tensor:
    return (unit * torch.randn(4, 6, generator=torch.Generator().manual_seed(3))).requires_grad_()


PROGRAMS: dict[str, Callable[[Tensor], Tensor]] = {
    "equal to the largest": lambda x: (x == x.max(-1, keepdim=True).values).float() @ TABLE,
    "at least amax": lambda x: (x >= x.amax(-1, keepdim=True)).float() @ TABLE,
    "amin, reflected": lambda x: (x.amin(-1, keepdim=True) == x).float() @ TABLE,
    "topk, sliced": lambda x: (x >= x.topk(2, -1).values[:, -1:]).float() @ TABLE,
    "sort, sliced": lambda x: (x > x.sort(-1).values[:, 2:3]).float() @ TABLE,
    "median, unsqueezed": lambda x: (x.median(-1).values.unsqueeze(-1) < x).float() @ TABLE,
    "k-th of all": lambda x: (x.flatten() <= x.flatten().kthvalue(9).values).float().view(4, 6) @ TABLE,
    "quantile": lambda x: (x.flatten() > torch.quantile(x.flatten(), 0.7)).float().view(4, 6) @ TABLE,
    "views of one tensor": lambda x: (
        (x.view(6, 4) == x.view(6, 4).amax(-1, keepdim=True)).float().flatten()[:6] * TABLE
    ),
}


def smoothed(program: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of the program's sum, smoothed by noise of 0.3."""
    draws, total = torch.Generator().manual_seed(2), torch.zeros(x.shape)
    for _ in range(4000):
        noise = torch.randn(x.shape, generator=draws)
        total += (program(x + 0.3 * noise) - program(x - 0.3 * noise)).sum() * noise
    return total


def gradient(program: Callable[[Tensor], Tensor], x: Tensor, executor: softfx.api.Executor = "auto") -> Tensor:
    soft = softfx.soften(program, example_inputs=(x,), executor=executor)
    value = soft(x)
    assert torch.equal(value, program(x))
    return torch.autograd.grad(value.sum(), x)[0]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_gradient_is_that_of_the_smoothed_program(name: str) -> None:
    x, program = numbers(), PROGRAMS[name]
    with torch.no_grad():
        true = smoothed(program, x)
    # As products of comparisons and statistics most have 0.55 to 0.75.
    assert torch.cosine_similarity(gradient(program, x).flatten(), true.flatten(), dim=0) > 0.9


@pytest.mark.parametrize("name", PROGRAMS)
def test_both_executors_and_all_units_give_one_direction(name: str) -> None:
    program = PROGRAMS[name]
    base = gradient(program, numbers(), "eager")
    assert torch.allclose(gradient(program, numbers(), "graph"), base, atol=1e-6)
    for unit in (1e-6, 1e6):
        moved = unit * gradient(program, numbers(unit))
        assert torch.allclose(moved, base, rtol=1e-3, atol=1e-3 * float(base.abs().max()))  # borders halve to 2e-6


@pytest.mark.parametrize("compare", [torch.eq, torch.ne, torch.gt, torch.ge, torch.lt, torch.le])
def test_the_soft_form_keeps_the_number_and_tends_to_the_hard_one(compare: Callable[..., Tensor]) -> None:
    x = numbers().detach()
    statistic = x.kthvalue(4, -1, keepdim=True).values
    hard = compare(x, statistic).float()
    soft = beside_statistic(compare, x, statistic, -1, softness=0.3, mode="tailed")
    assert torch.allclose(soft.sum(-1), hard.sum(-1), atol=1e-4)  # the border is known to 2e-6 softnesses
    assert torch.allclose(beside_statistic(compare, x, statistic, -1, softness=1e-3), hard, atol=1e-3)


def test_infinite_entries_and_masks_of_all_or_none_have_the_hard_answer() -> None:
    x = torch.tensor([-torch.inf, 0.0, 1.0, 2.0, torch.inf], requires_grad=True)
    soft = beside_statistic(torch.ge, x, torch.tensor(1.0), 0, softness=0.5)
    assert soft[0] == 0.0 and soft[4] == 1.0
    (found,) = torch.autograd.grad(soft @ torch.arange(5.0), x)
    assert found.isfinite().all() and found[2] != 0.0
    none = beside_statistic(torch.gt, x[1:4], torch.tensor(2.0), 0, softness=0.5)
    assert torch.equal(torch.autograd.grad(none.sum(), x, allow_unused=True)[0], torch.zeros(5)) and none.sum() == 0.0


def test_a_threshold_of_other_rows_or_of_rows_that_were_written_is_no_statistic() -> None:
    def of_others(x: Tensor) -> Tensor:
        return (x[:2] > x[2:].amax(-1, keepdim=True)).float() @ TABLE

    def scaled(x: Tensor) -> Tensor:
        return (x > 0.5 * x.amax(-1, keepdim=True)).float() @ TABLE

    def written(x: Tensor) -> Tensor:
        rows = x.clone()
        largest = rows.amax(-1, keepdim=True)
        rows[:, 0] = 0.0
        return (rows >= largest).float() @ TABLE

    for program in (of_others, scaled, written):
        soft = softfx.soften(program, example_inputs=(numbers(),), executor="graph")
        assert "beside_statistic" not in str(softfx.source(soft))
    soft = softfx.soften(PROGRAMS["quantile"], example_inputs=(numbers(),), executor="graph")
    assert "beside_statistic" in str(softfx.source(soft))
