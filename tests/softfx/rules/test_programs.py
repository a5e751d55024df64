"""Whole small programs of index and mask algebra, as by hand in softtorch: what several rules do to each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
import softtorch
from tests.softfx.by_hand import SOFTNESS, Pair, agree

KNOTS, HEIGHTS = torch.tensor([-2.0, -0.5, 0.5, 2.0]).double(), torch.tensor([0.0, 1.0, 4.0, 9.0]).double()


def chosen(x: Tensor) -> Tensor:
    result: Tensor = softtorch.argmax(x, dim=-1, softness=SOFTNESS)
    return result


def above(x: Tensor, y: Tensor | float) -> Tensor:
    return softtorch.greater(x, torch.as_tensor(y, dtype=x.dtype), softness=SOFTNESS)


def confusions(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """The same table four ways."""
    i, j, n = x.argmax(-1), y.argmax(-1), x.shape[-1]
    ones = torch.ones(len(x), dtype=x.dtype)
    return (
        torch.zeros(n, n, dtype=x.dtype).index_put((i, j), ones, accumulate=True),
        torch.zeros(n, n, dtype=torch.long).index_put((i, j), torch.tensor(1), accumulate=True).double(),
        F.one_hot(i, n).double().T @ F.one_hot(j, n).double(),
        torch.bincount(i * n + j, minlength=n * n).reshape(n, n).double(),
    )


def confusions_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return (chosen(x).T @ chosen(y),) * 4


def table_of_three(x: Tensor, y: Tensor, z: Tensor, table: Tensor) -> Tensor:
    return table[x.argmax(-1), y.argmax(-1), z.argmax(-1)]


def table_of_three_by_hand(x: Tensor, y: Tensor, z: Tensor, table: Tensor) -> Tensor:
    return torch.einsum("bi,bj,bk,ijk->b", chosen(x), chosen(y), chosen(z), table)


def nearest_and_farthest(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    i, j = x.argmax(-1), y.argmax(-1)
    bounds = torch.tensor([1, 2, 3])
    return torch.minimum(i, j).double(), torch.max(i, j).double(), torch.max(i, bounds).double()


def nearest_and_farthest_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    n = torch.arange(x.shape[-1])
    p, q, bounds = chosen(x), chosen(y), torch.tensor([[1], [2], [3]])

    def pairs(numbers: Tensor) -> Tensor:
        return torch.einsum("bi,bj,ij->b", p, q, numbers.double())

    smaller, larger = torch.minimum(n[:, None], n), torch.maximum(n[:, None], n)
    return pairs(smaller), pairs(larger), (p * torch.maximum(n, bounds)).sum(-1)


def interpolated(x: Tensor) -> Tensor:
    i = torch.searchsorted(KNOTS, x).clamp(1, 3)
    left, right = KNOTS[i - 1], KNOTS[i]
    return torch.lerp(HEIGHTS[i - 1], HEIGHTS[i], (x - left) / (right - left))


def interpolated_by_hand(x: Tensor) -> Tensor:
    p = softtorch.searchsorted(KNOTS, x, softness=SOFTNESS)
    n = torch.arange(5).clamp(1, 3)
    left, right = p @ KNOTS[n - 1], p @ KNOTS[n]
    return torch.lerp(p @ HEIGHTS[n - 1], p @ HEIGHTS[n], (x - left) / (right - left))


def within_capacity(x: Tensor) -> Tensor:
    """Which tokens find room at their expert: at most two each."""
    hot = F.one_hot(x.argmax(-1), x.shape[-1])
    place = hot.cumsum(0) * hot
    return ((place <= 2) & (hot > 0)).double()


def within_capacity_by_hand(x: Tensor) -> Tensor:
    p = chosen(x)
    return softtorch.logical_and((3 - p.cumsum(0) * p).clamp(0, 1), p)


def compacted(x: Tensor, v: Tensor) -> Tensor:
    mask = x > 0
    place = (mask.cumsum(0) - 1).clamp(min=0)
    return torch.zeros_like(v).scatter_add(0, place, v * mask)


def compacted_by_hand(x: Tensor, v: Tensor) -> Tensor:
    p = above(x, 0.0)
    place = (p.cumsum(0) - 1).clamp(min=0)
    near = (1 - (place[:, None] - torch.arange(len(x))).abs()).clamp(min=0)
    return near.T @ (v * p)


def overlap(x: Tensor, y: Tensor) -> Tensor:
    a, b = x > 0, y > 0
    return (a & b).sum().double() / (a | b).sum().double()


def overlap_by_hand(x: Tensor, y: Tensor) -> Tensor:
    a, b = above(x, 0.0), above(y, 0.0)
    return (a * b).sum() / softtorch.logical_or(a, b).sum()


def reordered(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    order = x.argsort()
    return y[order], torch.zeros_like(y).index_copy(0, order, y)


def reordered_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    p = softtorch.argsort(x, softness=SOFTNESS)
    return p @ y, p.T @ y / p.sum(0)[:, None]  # each place is written once


def wrapped(x: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    i, n = x.argmax(-1), len(table)
    return table[(i * 3 - 2) % n], table[-i - 1], table.roll(1)[i.flip(0)]


def wrapped_by_hand(x: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    p, n = chosen(x), torch.arange(len(table))
    return p @ table[(n * 3 - 2) % len(table)], p @ table.flip(0), p.flip(0) @ table.roll(1)


def binned(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Integers among boundaries, some of which they meet."""
    i = x.argmax(-1)
    edges = torch.tensor([1, 3])
    return (
        torch.histc(i.double(), 5, 0, 5),
        torch.histc(i.double(), 2, 1, 3),
        torch.tensor([1.0, 2.0, 4.0]).double()[torch.bucketize(i, edges, right=True)],
    )


def binned_by_hand(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    p = chosen(x)
    inside = torch.stack([p[:, 1], p[:, 2:4].sum(-1)], -1)
    return p.sum(0), inside.sum(0), p[:, 0] + 2 * p[:, 1:3].sum(-1) + 4 * p[:, 3:].sum(-1)


PAIRS = {
    "confusion tables": Pair(confusions, confusions_by_hand, ((6, 4), (6, 4)), linear=False),
    "a table of three": Pair(table_of_three, table_of_three_by_hand, ((4, 2), (4, 3), (4, 2), (2, 3, 2)), linear=False),
    "the smaller index": Pair(nearest_and_farthest, nearest_and_farthest_by_hand, ((3, 5), (3, 5)), linear=False),
    "interpolation": Pair(interpolated, interpolated_by_hand, ((6,),), linear=False),
    "capacity": Pair(within_capacity, within_capacity_by_hand, ((6, 4),), linear=False),
    "compaction": Pair(compacted, compacted_by_hand, ((8,), (8,)), linear=False),
    "overlap": Pair(overlap, overlap_by_hand, ((9,), (9,)), linear=False),
    "orders": Pair(reordered, reordered_by_hand, ((5,), (5, 3))),
    "bins": Pair(binned, binned_by_hand, ((6, 5),)),
    "as_tensor": Pair(lambda x: torch.as_tensor(x > 0, dtype=x.dtype) * 2, lambda x: above(x, 0.0) * 2, ((7,),)),
    "index arithmetic": Pair(wrapped, wrapped_by_hand, ((4, 5), (5,))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_program_does_softly_what_is_written_by_hand(name: str) -> None:
    agree(PAIRS[name])


def test_a_product_of_two_soft_matrices_has_the_derivative_of_the_soft_product() -> None:
    def program(x: Tensor) -> Any:
        return F.one_hot(x.argmax(-1), 5).double().T @ F.one_hot(x.argmin(-1), 5).double()

    agree(Pair(program, lambda x: chosen(x).T @ chosen(-x), ((6, 5),)))


def test_a_search_with_a_sorter_is_told_as_what_has_no_rule() -> None:
    edges = torch.tensor([3.0, 1.0, 2.0])
    order = edges.argsort()

    def among(x: Tensor) -> Tensor:
        return torch.searchsorted(edges, x.argmax(dim=-1).float(), sorter=order).float()

    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    soft = softfx.soften(among, "smooth", example_inputs=(x,))
    assert torch.equal(soft(x), among(x))
    assert "searchsorted with a sorter has no rule" in str(soft.report)
