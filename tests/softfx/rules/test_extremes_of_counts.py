"""The largest and smallest of independent soft integers: as their definition says, and what the derivative costs."""

import itertools

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from softfx.runtime import counts


def soft_integers(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights, some of them 0, over integers that meet within a number and between them."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(shape, dtype=torch.float64, generator=generator)
    weights = torch.where(weights < 0.3, 0.0, weights) + 0.01 * torch.eye(shape[-1], dtype=torch.float64)[0]
    return weights / weights.sum(-1, keepdim=True), torch.randint(-2, 3, shape, generator=generator)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize(("shape", "dim"), [((1, 4, 3), 1), ((2, 1, 2), 1), ((3, 2, 2), 0), ((2, 5, 2), 1)])
def test_extremes_are_those_of_all_combinations(shape: tuple[int, ...], dim: int, largest: bool) -> None:
    p, points = soft_integers(*shape)
    weights, numbers = counts.extreme(p, points, dim, largest)
    rows, places = p.movedim(dim, -2), points.movedim(dim, -2)
    for row, place, found, where in zip(rows, places, weights, numbers, strict=True):
        expected = torch.zeros(5, dtype=p.dtype)
        for chosen in itertools.product(range(shape[-1]), repeat=len(row)):
            number = (max if largest else min)(int(place[i, j]) for i, j in enumerate(chosen))
            expected[number + 2] += torch.stack([row[i, j] for i, j in enumerate(chosen)]).prod()
        torch.testing.assert_close(torch.zeros(5, dtype=p.dtype).index_add(0, where + 2, found), expected)


def test_extremes_have_derivatives_where_weights_are_zero() -> None:
    p, points = soft_integers(5, 2)
    p.requires_grad_()

    def weights(p: torch.Tensor) -> torch.Tensor:
        return counts.extreme(p, points, 0, True)[0]

    assert torch.autograd.gradcheck(weights, (p,))
    assert torch.autograd.gradgradcheck(weights, (p,))


def test_extremes_keep_nothing_for_each_point_of_each_number() -> None:
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    p, points = soft_integers(64, 4)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        counts.extreme(p.requires_grad_(), points, 0, True)
    assert max(kept) < 64 * 4 * 64 * 4
