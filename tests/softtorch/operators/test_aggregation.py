"""scatter_reduce with soft extrema: beside a loop over groups, in the limit, with infinities, under transforms."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

import softtorch
from softtorch.errors import MethodError, OptionError

REDUCE = pytest.mark.parametrize("reduce", ["amax", "amin"])
SELF = pytest.mark.parametrize("include_self", [True, False])
GENERATOR = torch.Generator().manual_seed(0)
SRC = torch.randn(20, 3, dtype=torch.float64, generator=GENERATOR)
INDEX = torch.randint(0, 6, (20, 3), generator=GENERATOR)
INPUT = torch.randn(7, 3, dtype=torch.float64, generator=GENERATOR)  # the last group has no members


@REDUCE
@SELF
def test_each_group_is_the_softmax_mean_of_its_members(reduce: str, include_self: bool) -> None:
    found = softtorch.scatter_reduce(INPUT, 0, INDEX, SRC, reduce, include_self=include_self, softness=0.3)
    sign = 1.0 if reduce == "amax" else -1.0
    for group in range(7):
        for column in range(3):
            members = SRC[INDEX[:, column] == group, column]
            if include_self or not len(members):
                members = torch.cat([members, INPUT[group, column : column + 1]])
            wanted = torch.softmax(sign * members / 0.3, 0) @ members
            assert torch.isclose(found[group, column], wanted)


@REDUCE
@SELF
def test_the_limit_and_mode_hard_are_torchs(reduce: str, include_self: bool) -> None:
    wanted = INPUT.scatter_reduce(0, INDEX, SRC, reduce, include_self=include_self)
    hard = softtorch.scatter_reduce(INPUT, 0, INDEX, SRC, reduce, include_self=include_self, mode="hard")
    soft = softtorch.scatter_reduce(INPUT, 0, INDEX, SRC, reduce, include_self=include_self, softness=1e-4)
    assert torch.equal(hard, wanted)
    assert torch.allclose(soft, wanted, atol=1e-6)  # the next entry is at least 1e-2 away: e^-100


@REDUCE
@SELF
def test_the_gradient_is_that_of_the_value(reduce: str, include_self: bool) -> None:
    def call(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return softtorch.scatter_reduce(x, 0, INDEX, y, reduce, include_self=include_self, softness=0.3)

    assert gradcheck(call, (INPUT.clone().requires_grad_(), SRC.clone().requires_grad_()))


def test_infinite_members_are_largest_or_have_no_part() -> None:
    src = torch.tensor([-torch.inf, 1.0, -torch.inf, torch.inf, 2.0], requires_grad=True)
    index = torch.tensor([0, 0, 1, 2, 2])
    found = softtorch.scatter_reduce(torch.zeros(3), 0, index, src, "amax", include_self=False)
    assert found.tolist() == [1.0, -torch.inf, torch.inf]
    (gradient,) = torch.autograd.grad(found[0], src)
    assert gradient.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]


@REDUCE
@pytest.mark.parametrize("shape", [(), (1,), (3,)])
def test_an_index_shorter_than_what_it_scatters_takes_the_first_entries(shape: tuple[int, ...], reduce: str) -> None:
    index, input, src = (
        torch.zeros(shape, dtype=torch.int64),
        torch.zeros(2),
        torch.tensor([0.5, -1.0, 2.0, 4.0]).requires_grad_(),
    )
    wanted = input.scatter_reduce(0, index, src.detach(), reduce)
    found = softtorch.scatter_reduce(input, 0, index, src, reduce, softness=1e-4)
    assert torch.allclose(found, wanted, atol=1e-6)  # the next entry is at least 1e-2 away: e^-100
    (gradient,) = torch.autograd.grad(found.sum(), src)
    assert gradient.shape == src.shape and not gradient[max(1, index.numel()) :].any()


def test_numbers_without_axes_are_one_group() -> None:
    found = softtorch.scatter_reduce(torch.tensor(1.0), 0, torch.tensor(0), torch.tensor(3.0), "amax", softness=0.01)
    assert found.shape == () and torch.allclose(found, torch.tensor(3.0))


def test_it_maps_over_a_batch() -> None:
    batch = torch.stack([SRC, 2 * SRC])
    mapped = torch.func.vmap(lambda src: softtorch.scatter_reduce(INPUT, 0, INDEX, src, "amax"))(batch)
    assert torch.allclose(mapped[1], softtorch.scatter_reduce(INPUT, 0, INDEX, 2 * SRC, "amax"))


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(OptionError, match="Reductions: amax, amin"):
        softtorch.scatter_reduce(INPUT, 0, INDEX, SRC, "sum")
    with pytest.raises(MethodError, match="Modes: smooth, hard"):
        softtorch.scatter_reduce(INPUT, 0, INDEX, SRC, "amax", mode="c0")
