"""Which tally wins, and the largest of integers: all ways to it count, where the counts tie or are far apart."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
import softtorch

Program = Callable[[Tensor], Tensor]
EXECUTOR = pytest.mark.parametrize("executor", ["graph", "eager"])
STEP = {"default": {"softness": 0.5, "mode": "smooth"}}
WEIGHTS = torch.tensor([0.7, -1.0, 0.4], dtype=torch.float64)
X = torch.randn(3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(11))

# Each makes a number of each row of (3, 2, 3) bools.
OF_MASKS: dict[str, Program] = {
    "most": lambda m: m.sum(-1).argmax(-1),
    "fewest": lambda m: m.sum(-1).argmin(-1),
    "most of a mask that is moved": lambda m: m.transpose(1, 2).sum(-1).argmax(-1),
    "most, kept axis": lambda m: m.sum(-1).argmax(-1, keepdim=True)[:, 0],
    "last true": lambda m: (torch.arange(1, 7) * m.flatten(1)).max(-1).values,
    "last true by amax": lambda m: (torch.arange(1, 7) * m.flatten(1)).amax(-1, keepdim=True)[:, 0],
    "first false": lambda m: (10 - torch.arange(6) * ~m.flatten(1)).min(-1).values,
    "any": lambda m: m.flatten(1).int().amax(-1),
    "all": lambda m: m.flatten(1).amin(-1),
}


def enumerated(program: Program, probabilities: Tensor) -> Tensor:
    """The mean of a program of independent bools, row by row.  # (3, 2, 3) -> (3)"""
    total = torch.zeros(3, dtype=torch.float64)
    for bools in itertools.product((False, True), repeat=6):
        m = torch.tensor(bools).view(1, 2, 3).expand(3, 2, 3)
        likely = torch.where(m, probabilities, 1 - probabilities).flatten(1).prod(-1)
        total = total + likely * program(m).double()
    return total


@EXECUTOR
@pytest.mark.parametrize("program", OF_MASKS.values(), ids=OF_MASKS)
def test_every_way_counts(program: Program, executor: str) -> None:
    x = X.clone().requires_grad_()

    def whole(x: Tensor) -> Tensor:
        return program(x > 0.2).double() @ WEIGHTS

    soft = softfx.soften(whole, STEP, example_inputs=(x,), executor=executor)
    value = soft(x)
    assert torch.equal(value, whole(x))
    above = softtorch.greater(x, torch.tensor(0.2, dtype=torch.float64), softness=0.5, mode="smooth")
    (wanted,) = torch.autograd.grad(enumerated(program, above) @ WEIGHTS, x)
    torch.testing.assert_close(torch.autograd.grad(value, x)[0], wanted)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_vote_of_bins_agrees_with_the_smoothed_program(scale: float) -> None:
    """Which class most of a row are in; 0.6 was the cosine by the counts alone."""

    def commonest(x: Tensor) -> Tensor:
        bins = torch.bucketize(x.view(4, 9), scale * torch.tensor([-0.8, 0.1, 0.9]))
        return F.one_hot(bins, 4).sum(-2).argmax(-1).float() @ torch.tensor([0.5, -1.0, 0.8, 1.2])

    draws = torch.Generator().manual_seed(71)
    x = scale * torch.randn(36, generator=draws)
    reference = torch.zeros(36)
    for _ in range(2000):
        step = torch.randn(36, generator=draws)
        reference += (commonest(x + 0.3 * scale * step) - commonest(x - 0.3 * scale * step)) * step
    moved = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(softfx.soften(commonest, example_inputs=(moved,))(moved), moved)
    found = found * scale  # beside 1e-6 a squared norm of the gradient itself would be lost
    assert F.cosine_similarity(found, reference, 0) > 0.85


def test_of_too_many_bools_the_counts_alone_tell_who_wins() -> None:
    """The numbers of these tallies would take more memory than all else."""
    x = torch.randn(3, 6000, generator=torch.Generator().manual_seed(5), requires_grad=True)

    def program(x: Tensor) -> Tensor:
        return F.one_hot((x > 0).sum(-1).argmax(), 3).float() @ WEIGHTS.float()

    soft = softfx.soften(program, example_inputs=(x,))
    assert soft(x) == program(x)
    (found,) = torch.autograd.grad(soft(x), x)
    assert found.isfinite().all()
    assert found.any()
