"""Numbers that lie on jumps by more than chance: what is counted, chosen or clipped has the program's value there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import softfx
from softfx.runtime import ties
from tests.helpers import EXECUTORS, gradient

TINY = {"preset": "smooth", "default": {"softness": 1e-6, "mode": "smooth"}}
X = torch.tensor([[0.8, -0.3, 0.45, -0.2], [0.9, 0.4, -0.7, 0.1], [-0.6, -0.2, -0.9, -0.4]])

Program = Callable[[Tensor], Tensor]


def mask(x: Tensor) -> Tensor:
    return (x > 0).float()


def grade(x: Tensor) -> Tensor:
    return (x * 2).round()


def written_part(numbers: Tensor) -> Tensor:
    numbers[1:].floor_()
    return numbers


def assigned(x: Tensor) -> Tensor:
    """Greedily a column for each row, the cheapest that no row before it took."""
    used = torch.zeros(x.shape[-1], dtype=torch.bool)
    costs = []
    for row in x:
        place = row.masked_fill(used, torch.inf).argmin()
        costs.append(row[place])
        used = used | F.one_hot(place, x.shape[-1]).bool()
    return torch.stack(costs)


TIED: dict[str, Program] = {
    "mean above": lambda x: mask(x).mean(-1) > 0.5,
    "mean from": lambda x: mask(x).mean(-1) >= 0.5,
    "no mean": lambda x: mask(x).mean(-1) > 0,
    "mean of all": lambda x: mask(x).mean() >= 5 / 12,
    "a count divided": lambda x: (x > 0).sum(-1) / 4 >= 0.5,
    "multiples of masks": lambda x: 0.5 * mask(x) + 0.5 * (x > 0.42).float() > 0.5,
    "weighted": lambda x: (mask(x) * torch.tensor([0.5, 0.25, 0.25, 0.5])).sum(-1) >= 0.75,
    "one count by another": lambda x: (x > 0).sum(-1) / (x > -2).sum(-1) >= 0.5,
    "windows": lambda x: F.avg_pool2d(mask(x[:2])[None, None], 2) >= 0.5,
    "running means": lambda x: mask(x).cumsum(-1) / torch.arange(1, 5) >= 0.5,
    "tenths": lambda x: (x * 10 + 0.2).round() * 0.1 >= 0.5,
    "logarithm": lambda x: torch.log1p(mask(x).sum(-1)) > 0,
    "exponential": lambda x: torch.exp(mask(x)) > 1,
    "squashed": lambda x: torch.tanh(mask(x).sum(-1)) > 0,
    "deviation": lambda x: mask(x).std(-1) > 0,
    "floor": lambda x: torch.floor((x > 0).sum(-1) / 2),
    "ceil": lambda x: torch.ceil((x > 0).sum(-1) / 2),
    "round": lambda x: torch.round((x > 0).sum(-1) / 4),
    "trunc": lambda x: torch.trunc(-(x > 0).sum(-1) / 2),
    "fraction": lambda x: torch.frac((x > 0).sum(-1) / 2) + torch.frac(-grade(x) / 2).sum(-1),
    "cast": lambda x: ((x > 0).sum(-1) / 2).long(),
    "rounded to decimals": lambda x: torch.round(mask(x).mean(-1) / 2, decimals=1),
    "whole quotients": lambda x: mask(x).mean(-1) // 0.25 + torch.div(mask(x).mean(-1), 0.5, rounding_mode="trunc"),
    "remainders": lambda x: mask(x).mean(-1) % 0.5 + (-mask(x).mean(-1)).fmod(0.25) + 1 % (mask(x).mean(-1) + 0.5),
    "written rounded": lambda x: (grade(x) / 2).floor_() + (grade(x) / 2).ceil_() + (grade(x) / 4).round_(),
    "written compared": lambda x: (grade(x) / 2).ge_(0.5) + grade(x).div_(2).gt_(0.5),
    "written parts": lambda x: written_part(grade(x) / 2),
    "heaviside": lambda x: torch.heaviside(grade(x), torch.tensor([3.0, 4.0, 5.0, 6.0])),
    "heaviside of masks": lambda x: torch.heaviside(mask(x) - mask(x - 0.42), grade(x)),
    "half an index": lambda x: torch.floor(x.argmax(-1) / 2),
    "relu": lambda x: F.relu(x) > 0,
    "the sign of a clipped number": lambda x: torch.copysign(x, F.relu(x - 0.4)),
    "clipped": lambda x: x.clamp(max=0.42) < 0.42,
    "itself": lambda x: torch.stack([x <= x, x >= x, x < x]),
    "a copy": lambda x: torch.stack([x.clone() <= x, x > x.contiguous().clone()]),
    "a copy of all pairs": lambda x: x[0].clone()[:, None] >= x[0][None],
    "repeated": lambda x: x[0].repeat(3).view(3, 4) > x,
    "the first, copied": lambda x: x > x[0, 0].clone(),
    "all pairs": lambda x: x[0][:, None] > x[0][None],
    "ranks from pairs": lambda x: (x.unsqueeze(-1) >= x.unsqueeze(-2)).sum(-1),
    "the largest": lambda x: x >= x.max(-1, keepdim=True).values,
    "the largest two": lambda x: x >= x.topk(2, -1).values[:, 1:],
    "the place of what is clipped": lambda x: F.relu(x).argmax(-1),
    "kept places": lambda x: F.relu(x - 0.6).argmax(-1, keepdim=True),
    "the place of all": lambda x: F.relu(x[2]).argmax(),
    "the place of the smallest": lambda x: F.relu(x).argmin(-1),
    "the place beside a value": lambda x: F.relu(x).min(-1)[1],
    "the place of a grade": lambda x: torch.tensor([2.0, 2.0, 1.0, 2.0])[x.argsort(-1)].max(-1)[1],
    "the place of most votes": lambda x: (x > 0).sum(0).argmax(),
    "the place of a running count": lambda x: (x > 0).long().cumsum(-1).max(-1)[1],
    "the place among what is left": lambda x: x.masked_fill(x < 0, torch.inf).argmin(-1),
    "the largest of what is left": lambda x: x.masked_fill(x > 0.6, -torch.inf).max(-1)[1],
    "one place after another": assigned,
    "an order of grades": lambda x: grade(x).argsort(dim=-1, stable=True),
    "an order of counts": lambda x: (x.unsqueeze(-1) > x.unsqueeze(-2) - 0.5).sum(-1).argsort(dim=-1, stable=True),
    "ranks of grades": lambda x: grade(x).argsort(dim=-1, descending=True, stable=True).argsort(-1),
    "sorted places": lambda x: grade(x).sort(dim=-1, descending=True, stable=True)[1],
    "sorted places of the first axis": lambda x: grade(x).sort(dim=0, stable=True)[1],
    "the places of the best grades": lambda x: grade(x).topk(2, -1)[1],
    "the place of the middle grade": lambda x: grade(x).median(-1)[1],
    "the place of the second grade": lambda x: grade(x).kthvalue(2, -1, keepdim=True)[1],
    "the places of records": lambda x: grade(x).cummax(-1)[1] + grade(x).cummin(-1)[1],
    "what is in that order": lambda x: x.gather(-1, grade(x).argsort(dim=-1, stable=True)),
    "a place before a number": lambda x: F.relu(x).argmax(-1) < torch.tensor([0.0, 1.0, 2.0]),
    "the median": lambda x: x <= x.median(-1, keepdim=True).values,
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", TIED)
def test_what_lies_on_a_jump_tends_to_the_program(name: str, executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        return TIED[name](x).float()

    soft = softfx.soften(program, TINY, example_inputs=(X,), executor=executor)
    torch.testing.assert_close(soft(X), program(X), rtol=0, atol=1e-3)
    assert gradient(soft, X).isfinite().all()


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("function", [torch.floor, torch.sign, torch.logical_not])
def test_what_is_given_as_out_tends_to_the_program(function: Callable[..., Tensor], executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        with torch.no_grad():
            halves = torch.where(x > 0.85, torch.nan, grade(x) / 2)
            return function(halves, out=torch.empty_like(x)) + 0 * x

    policy = {"preset": "smooth", "default": {"softness": 1e-6, "mode": "smooth", "lift_no_grad": True}}
    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    torch.testing.assert_close(soft(X), program(X), rtol=0, atol=1e-3, equal_nan=True)


@pytest.mark.parametrize("write", [Tensor.gt_, Tensor.eq_, Tensor.ne_])
def test_a_comparison_that_is_written_of_nan_is_the_programs(write: Callable[..., Tensor]) -> None:
    x = torch.tensor([0.8, torch.nan, -0.3])
    soft = softfx.soften(lambda x: write(x.clone(), 0.0), TINY, example_inputs=(x,))
    torch.testing.assert_close(soft(x), write(x.clone(), 0.0))


def test_a_tie_keeps_the_derivative_of_the_soft_step() -> None:
    soft = softfx.soften(
        lambda x: (F.relu(x) >= 0).float(), {"preset": "smooth", "default": {"softness": 0.1}}, example_inputs=(X,)
    )
    assert (soft(X)[X < 0] == 1).all() and gradient(soft, X).any()


def test_a_tied_place_keeps_the_derivative_of_the_soft_place() -> None:
    def program(x: Tensor) -> Tensor:
        return torch.arange(4.0)[F.relu(x).argmax(-1)]

    soft = softfx.soften(program, {"preset": "smooth", "default": {"softness": 0.1}}, example_inputs=(X,))
    assert soft(X)[2] == 0 and gradient(soft, X)[2].any()


def test_places_that_tie_by_chance_are_shared() -> None:
    soft = softfx.soften(lambda x: F.one_hot(x.argmax(-1), 4).float(), TINY, example_inputs=(X,))
    torch.testing.assert_close(soft(torch.ones(3, 4)), torch.full((3, 4), 0.25))


def test_numbers_that_are_equal_by_chance_are_half_on_either_side() -> None:
    soft = softfx.soften(lambda x: (x > 0.5).float(), TINY, example_inputs=(X,))
    assert soft(torch.full_like(X, 0.5)).allclose(torch.tensor(0.5), atol=1e-3)


@given(st.integers(-(10**5), 10**5), st.sampled_from([torch.float32, torch.float64]))
def test_whole_and_half_numbers_are_told_from_all_others(number: int, dtype: torch.dtype) -> None:
    x = torch.tensor([number, number + 0.5, number + 0.25], dtype=dtype)
    assert ties.whole(x).tolist() == [True, False, False] and ties.half(x).tolist() == [False, True, False]


def test_numbers_are_equal_but_for_rounding() -> None:
    assert ties.equal(torch.tensor(0.1) * 3, 0.3) and not ties.equal(torch.tensor(0.3), 0.30001)
    assert ties.equal(torch.tensor([2, 3]), torch.tensor([2, 4])).tolist() == [True, False]
    assert ties.first_largest(torch.tensor([[1.0, 2.0, 2.0]]), 1, True).tolist() == [[1]]
    assert ties.first_largest(torch.tensor([[1.0, 2.0, 2.0]]), keepdim=True).tolist() == [[1]]
    assert ties.first_largest(torch.tensor(1.0)) == -1
    infinite = torch.tensor([torch.inf, -torch.inf, 1.0])
    assert ties.equal(infinite, torch.inf).tolist() == [True, False, False]
    assert ties.first_largest(-infinite) == -1  # the infinity is alone: the others are not equal to it but for rounding
    assert ties.first_largest(torch.tensor([-torch.inf, -torch.inf, 1.0])) == -1
    assert not ties.equal(torch.tensor(torch.nan), torch.nan) and ties.equal(torch.zeros(0), 1.0).shape == (0,)


CORNERS_KEPT = {"version": 1, "default": {"action": "soft", "families": ["discrete"], "softness": 1e-3}}
CLIPPED: dict[str, Program] = {
    "relu": lambda x: F.relu(x) > 0,
    "the sign of a clipped number": lambda x: torch.copysign(x, F.relu(x - 0.4)),
    "module": lambda x: torch.nn.ReLU()(x) != 0,
    "clamp": lambda x: x.clamp(min=0.42) > 0.42,
    "maximum": lambda x: torch.maximum(x, torch.zeros(())) > 0,
    "hardtanh": lambda x: F.hardtanh(2 * x) < 1,
    "scaled": lambda x: 2 * F.relu(x) - 1 > -1,
    "negative": lambda x: -F.relu(x) < 0,
    "one side": lambda x: x.abs() - x > 0,
    "chosen": lambda x: torch.where(F.relu(x) > 0, 1.0, 0.25),
    "selected": lambda x: F.relu(x)[F.relu(x) > 0].mean(),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", CLIPPED)
def test_what_a_corner_clips_lies_on_jumps_where_the_corner_is_kept(name: str, executor: str) -> None:
    if name == "selected":
        executor = "eager"  # how many rows there are depends on data
    soft = softfx.soften(CLIPPED[name], CORNERS_KEPT, example_inputs=(X,), executor=executor)
    torch.testing.assert_close(soft(X).double(), CLIPPED[name](X).double(), atol=1e-3, rtol=0)


def test_the_values_of_heaviside_have_a_derivative_at_zero() -> None:
    x, values = torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([0.3, 0.4, 0.5], requires_grad=True)
    soft = softfx.soften(torch.heaviside, example_inputs=(x, values))
    result = soft(x, values)
    assert result.tolist() == torch.heaviside(x, values.detach()).tolist()
    assert torch.autograd.grad(result.sum(), values)[0].tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("program", [lambda x: x.to(x.dtype), lambda x: x.type_as(x), lambda x: x.float()])
def test_a_cast_that_changes_nothing_makes_no_ties(program: Callable[[Tensor], Tensor]) -> None:
    x = torch.tensor([0.5, 1.5, -0.5])
    for executor in EXECUTORS:
        soft = softfx.soften(lambda x: program(x).sign() + x.round(), "smooth", example_inputs=(x,), executor=executor)
        plain = softfx.soften(lambda x: x.sign() + x.round(), "smooth", example_inputs=(x,), executor=executor)
        torch.testing.assert_close(soft(x), plain(x))


def test_a_number_with_the_sign_of_zero_keeps_its_derivative() -> None:
    """0 has a sign, so that the size of what takes it has a derivative in the original, too."""

    def program(x: Tensor) -> Tensor:
        signs = x * 1
        signs[signs == signs.max()] = 0
        return torch.copysign(x, signs)

    x = torch.tensor(0.7)
    for start in (x, -x):
        assert gradient(softfx.soften(program, example_inputs=(start,)), start) == gradient(program, start)
