"""Whole numbers that Python reads, and conditions on them, whatever they have been made of on the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from softfx.control.slots import names_of
from tests.softfx.control.programs import policy

TABLE = torch.tensor([1.0, 0.4, 0.3, 0.7, 1.5, 0.2, 0.9, 2.0])
X = torch.tensor([0.56, 0.47, 0.9, 0.2])


def gradient(program: Callable[[Tensor], Tensor], **fields: float) -> Tensor:
    x = X.clone().requires_grad_()
    soft = softfx.soften(program, policy(**fields), example_inputs=(x,))
    value = soft(x)
    assert torch.equal(value, program(X))
    return torch.autograd.grad(value, x)[0]


@pytest.mark.parametrize(
    ("read", "middle"),
    [
        (lambda y: int(y), -0.5),
        (lambda y: int(y.long()), -0.5),
        (lambda y: y.trunc().long().item(), -0.5),
        (lambda y: int(torch.floor(y)), -0.5),
        (lambda y: int(y.ceil()), 0.5),
        (lambda y: int(y.round()), 0.0),
        (lambda y: int(y.round().long()), 0.0),
        (lambda y: len(range(int(y.round().float()))), 0.0),
    ],
)
def test_a_rounded_number_is_a_count_between_its_neighbours(read: Callable[[Tensor], int], middle: float) -> None:
    found = gradient(lambda x: TABLE[read(4.0 * x[0])] * 1.0, exact=4)
    low = int((4.0 * X[0] + middle).floor())  # the mean is linear between the middles of two numbers
    torch.testing.assert_close(found[0], 4.0 * (TABLE[low + 1] - TABLE[low]))


ALIKE = [
    lambda x: (x > 0.5).sum() > 2,
    lambda x: (x > 0.5).float().sum() > 2,
    lambda x: sum(((number > 0.5).float() for number in x), torch.zeros(())) > 2,
    lambda x: 2 * (x > 0.5).double().sum() > 4,
    lambda x: added(x) > 2,
]


def added(x: Tensor) -> Tensor:
    count = torch.zeros(())
    for number in x:
        count += (number > 0.5).float()
    return count


@pytest.mark.parametrize("condition", ALIKE[1:])
def test_a_count_in_real_numbers_is_a_count(condition: Callable[[Tensor], Tensor]) -> None:
    def program(x: Tensor, condition: Callable[[Tensor], Tensor]) -> Tensor:
        return x.sum() if condition(x) else 2.0 * x.sum()

    expected = gradient(lambda x: program(x, ALIKE[0]), samples=0, softness=1.0)
    found = gradient(lambda x: program(x, condition), samples=0, softness=1.0)
    assert found[1].sign() == expected[1].sign() and abs(found[1]) > 0.3 * abs(expected[1])


@pytest.mark.parametrize(
    "share",
    [
        lambda x: (x > 0.5).float().mean(),
        lambda x: (x > 0.5).sum() / 4,
        lambda x: 1 - (x <= 0.5).float().mean(),
        lambda x: ((x > 0.5) == torch.tensor([True, True, True, True])).float().mean(),
    ],
)
@pytest.mark.parametrize("samples", [0, 1])
def test_a_share_is_the_mean_of_probabilities(share: Callable[[Tensor], Tensor], samples: int) -> None:
    def program(x: Tensor) -> Tensor:
        return x.sum() if share(x) > 0.6 else 2.0 * x.sum()

    x = X.clone().requires_grad_()
    # a softness that is given stays as it is for a site that is far from its threshold
    soft = softfx.soften(program, policy(samples=samples, seed=0, turns=4, softness=0.05), example_inputs=(x,))
    found = [torch.autograd.grad(soft(x), x)[0] for _ in range(12)][-1]  # of light runs, by now
    (site,) = [decision for decision in soft._softfx.sites if decision.rule.name == "branch"]
    scale = soft._softfx.evidence.control.spreads.scale(site)
    p = torch.sigmoid((torch.sigmoid((x - 0.5) / scale).mean() - 0.6) / scale)
    (turned,) = torch.autograd.grad(p * (-x.sum().detach()), x)
    assert p > 0.01
    torch.testing.assert_close(found - turned, (found - turned)[3].expand(4), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "count",
    [
        lambda x: torch.count_nonzero(x > 0.5),
        lambda x: (x > 0.5).long().sum(),
        lambda x: (x > 0.5).int().sum(0),
        lambda x: (x > 0.5).float().sum(),
    ],
)
def test_a_mask_is_counted_in_whatever_way(count: Callable[[Tensor], Tensor]) -> None:
    def program(x: Tensor, count: Callable[[Tensor], Tensor]) -> Tensor:
        return x.sum() if count(x) > 1 else 2.0 * x.sum()

    expected = gradient(lambda x: program(x, lambda x: (x > 0.5).sum()), samples=0, softness=0.5)
    assert (expected != 1.0).all()
    torch.testing.assert_close(gradient(lambda x: program(x, count), samples=0, softness=0.5), expected)


def test_a_method_and_the_read_of_the_same_name_are_not_taken_for_each_other() -> None:
    kinds = {"bool": "__bool__", "int": "__int__", "float": "__float__"}
    for name, read in kinds.items():
        assert read not in {found for _, found in names_of(getattr(torch._C.TensorBase, name)) or ()}
