"""Decisions that go on through writes, casts and Python's own comparisons: as if they were read at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.softfx.control.programs import policy

X = torch.tensor([0.46, 0.52, 0.7])
Program = Callable[[Tensor], Tensor]


def gradient(program: Program, samples: int = 0, **fields: float) -> Tensor:
    x = X.clone().requires_grad_()
    soft = softfx.soften(program, policy(samples=samples, turns=50, seed=1, **fields), example_inputs=(x,))
    value = soft(x)
    assert torch.equal(value, program(X))
    return torch.autograd.grad(value, x)[0]


def at_once(x: Tensor) -> Tensor:
    mask = x > 0.5
    return x.sum() + sum(10.0 + i for i in range(3) if mask[i])


def written(x: Tensor) -> Tensor:
    mask = torch.zeros(3, dtype=torch.bool)
    for i in range(3):
        mask[i] = x[i] > 0.5
    return x.sum() + sum(10.0 + i for i in range(3) if mask[i])


def written_backwards(x: Tensor) -> Tensor:
    mask = torch.ones(2, 3, dtype=torch.bool)
    mask[1, [2, 1, 0]] = x.flip(0) > 0.5
    return x.sum() + sum(10.0 + i for i in range(3) if mask[1, i])


def copied(x: Tensor) -> Tensor:
    mask = torch.zeros(3)
    mask.copy_(x > 0.5)
    return x.sum() + sum(10.0 + i for i in range(3) if mask[i] == 1)


def filled(x: Tensor) -> Tensor:
    mask = torch.zeros(3, dtype=torch.bool)
    mask[x > 0.5] = True
    return x.sum() + sum(10.0 + i for i in range(3) if mask[i])


def chosen(x: Tensor) -> Tensor:
    marks = torch.where(x > 0.5, 1.0, 0.0)
    return x.sum() + sum(10.0 + i for i in range(3) if marks[i] == 1.0)


@pytest.mark.parametrize("program", [written, written_backwards, filled], ids=lambda p: p.__name__)
def test_what_is_written_is_as_if_it_was_read_at_once(program: Program) -> None:
    torch.testing.assert_close(gradient(program, softness=0.3), gradient(at_once, softness=0.3))
    torch.testing.assert_close(gradient(program, 1, softness=0.3), gradient(at_once, 1, softness=0.3))


@pytest.mark.parametrize("program", [copied, chosen], ids=lambda p: p.__name__)
def test_what_is_cast_and_compared_has_a_derivative_too(program: Program) -> None:
    """A number that is compared with 1 is resolved half a unit away, so it is another program, of the same signs."""
    assert torch.equal(gradient(program, softness=0.5) > 1.0, gradient(at_once, softness=0.5) > 1.0)


def counted_in_place(x: Tensor) -> Tensor:
    count = torch.zeros((), dtype=torch.long)
    for number in x:
        count += number > 0.5
    return x.sum() + float(count)


@pytest.mark.parametrize(
    "program",
    [
        lambda x: x.sum() + float((x > 0.5).sum()),
        lambda x: x.sum() + float(torch.count_nonzero(x > 0.5)),
        lambda x: x.sum() + float(sum(number > 0.5 for number in x)),
        lambda x: x.sum() + (x > 0.5).float().sum().item(),
        counted_in_place,
    ],
)
@pytest.mark.parametrize("samples", [0, 1])
def test_a_whole_number_is_one_also_where_a_float_is_made_of_it(program: Program, samples: int) -> None:
    expected = gradient(lambda x: x.sum() + int((x > 0.5).sum()), samples, softness=0.3)
    torch.testing.assert_close(gradient(program, samples, softness=0.3), expected)


def test_what_a_count_in_place_is_drawn_from_is_the_count() -> None:
    soft = softfx.soften(counted_in_place, policy("soft", samples=1, seed=0, softness=1e-3), example_inputs=(X,))
    with torch.no_grad():
        torch.testing.assert_close(soft(X), counted_in_place(X))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_choice_of_two_is_their_comparison_whatever_the_unit(scale: float) -> None:
    def compared(x: Tensor) -> Tensor:
        return x.sum() + (2.0 if scale * x[1] > scale * x[0] else -1.0)

    def chosen_among(x: Tensor) -> Tensor:
        return x.sum() + [-1.0, 2.0][int((scale * x[:2]).argmax())]

    torch.testing.assert_close(
        gradient(chosen_among, softness=0.5), gradient(compared, softness=0.5), rtol=1e-3, atol=0.0
    )


def test_tuples_are_compared_by_their_numbers_and_not_by_whether_these_are_one() -> None:
    def compared(x: Tensor) -> Tensor:
        return x.sum() + (1.0 if x[1] < x[0] else 0.0)

    def by_tuples(x: Tensor) -> Tensor:
        return x.sum() + min((x[0], 0.0), (x[1], 1.0))[1]

    torch.testing.assert_close(gradient(by_tuples, softness=1.0), gradient(compared, softness=1.0))
    soft = softfx.soften(by_tuples, policy(samples=0), example_inputs=(X.clone().requires_grad_(),))
    assert "An equality of real numbers that Python asks for, in comparing tuples, is no decision" in str(soft.report)


def test_closeness_is_a_condition_on_what_is_left_of_the_tolerance() -> None:
    def by_hand(x: Tensor) -> Tensor:
        return x.sum() + (1.0 if 0.1 + 1e-5 * 0.5 - (x[0] - 0.5).abs() > 0 else 0.0)

    def close(x: Tensor) -> Tensor:
        return x.sum() + (1.0 if torch.isclose(x[0], torch.tensor(0.5), atol=0.1) else 0.0)

    found = gradient(close, softness=0.5)
    torch.testing.assert_close(found, gradient(by_hand, softness=0.5))
    assert found[0] > 1.5, "a tolerance that is met may be missed"


def test_the_different_ones_of_rounded_numbers_are_decided_like_those_of_integers() -> None:
    rounded = gradient(lambda x: x.sum() + len(torch.unique((3.0 * x).round())))
    whole = gradient(lambda x: x.sum() + len(torch.unique((3.0 * x).round().long())))
    torch.testing.assert_close(rounded, whole)
    assert (rounded - 1.0).abs().max() > 1.0


@pytest.mark.parametrize("samples", [0, 1])
def test_one_mask_is_one_decision_where_it_selects_and_where_it_is_written_by(samples: int) -> None:
    def raised(x: Tensor) -> Tensor:
        marks, mask = torch.zeros(3), x > 0.5
        marks[mask] += 1.0
        return x.sum() + marks.sum()

    def twice(x: Tensor) -> Tensor:
        mask = x > 0.5
        return x.sum() + (torch.ones(3)[mask] * torch.ones(3)[mask]).sum()

    member = {"estimator": "membership", "softness": 0.3}
    expected = gradient(lambda x: x.sum() + len(x[x > 0.5]), samples, **member)  # type: ignore[arg-type]
    for program in (raised, twice):
        torch.testing.assert_close(gradient(program, samples, **member), expected)  # type: ignore[arg-type]


def test_a_read_of_which_nothing_is_known_is_told() -> None:
    def counts(x: Tensor) -> Tensor:
        bins = torch.zeros(4, dtype=torch.long)
        for number in x:
            bins[(3.0 * number).long()] += 1
        return x.sum() + (1.0 if bins[1] >= 2 else 0.0)

    soft = softfx.soften(counts, policy(), example_inputs=(X.clone().requires_grad_(),))
    (site,) = [site for site in soft.report.sites if site.op == "branch"]
    assert site.action == "blocked" and site.reason == "no rule gives what it reads a probability"


STEPS: list[Callable[[Tensor], bool]] = [
    lambda x: bool(torch.sign(x[1] - 0.5) > 0), lambda x: bool((x[1] - 0.5).sgn() == 1),
    lambda x: bool(torch.sign(0.5 - x[1]) < 0), lambda x: bool(torch.heaviside(x[1] - 0.5, x.new_tensor(0.5)) > 0.2),
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_signs_are_decisions(step: Callable[[Tensor], bool]) -> None:
    found = gradient(lambda x: x.sum() + (10.0 if step(x) else 0.0))
    assert found[1] > 2.0, "more of it makes the sign positive more often"
    torch.testing.assert_close(found[[0, 2]], torch.ones(2))


def test_the_signs_of_several_numbers_are_decisions() -> None:
    found = gradient(lambda x: x.sum() + (10.0 if torch.sign(x - 0.5).sum() > 0 else 0.0))
    assert bool((found[:2] > 1.5).all()), "0.7 is far from where its sign changes"


def test_a_mask_that_is_written_by_what_was_made_of_it_is_no_circle() -> None:
    """Capacities of experts: a mask loses the places beyond a number of them, which were counted by that mask."""

    def program(x: Tensor) -> Tensor:
        mask = (x > 0).float()
        places = mask.cumsum(-1) * mask
        mask *= (places < 3).float()
        return (x * mask).sum() if places.sum(-1).long().max() + 1 > 2 else x.sum()

    x = torch.tensor([[0.3, 0.8, -0.4, 1.2], [-0.2, 0.1, 0.7, 0.5]], requires_grad=True)
    soft = softfx.soften(program, "lifted", example_inputs=(x,), executor="eager", allow_unused=True)
    result = soft(x)
    assert torch.equal(result, program(x))
    assert torch.autograd.grad(result, x)[0].isfinite().all()


def test_a_branch_on_what_was_written_since_is_kept_and_told() -> None:
    def program(x: Tensor) -> Tensor:
        mask = (x > 0.5).float()
        places = mask.cumsum(-1) * mask
        mask *= (places < 3).float()
        return (x * mask).sum() if places.sum().long() > 2 else x.sum()

    named = {"preset": "keep", "rule": [{"op": "branch", "action": "straight_through"}]}
    x = X.clone().requires_grad_()
    soft = softfx.soften(program, named, example_inputs=(x,), executor="eager", allow_unused=True)
    assert torch.equal(torch.autograd.grad(soft(x), x)[0], torch.autograd.grad(program(x), x)[0])
    assert "no rule gives what it reads a probability" in str(soft.report)
