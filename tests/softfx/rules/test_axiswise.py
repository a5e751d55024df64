"""Operations that order or choose, with values and indices both used, as by hand in softtorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import softtorch
from tests.softfx.by_hand import SOFTNESS, Pair, agree

S: dict[str, Any] = {"softness": SOFTNESS}


def at(p: Tensor, x: Tensor) -> Tensor:
    """x[i] for a soft index along its first axis.  # (..., [n]), (n, ...) -> (...)"""
    return torch.tensordot(p, x, 1)


def sorted_both(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    values, order = x.sort(descending=True)
    return values * torch.arange(len(x)), y[order], y[order] * values[:, None], order.double()


def sorted_both_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    values, order = softtorch.sort(x, descending=True, **S)
    n = torch.arange(len(x)).double()
    return values * n, at(order, y), at(order, y) * values[:, None], at(order, n)


def best_two(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    values, index = x.softmax(-1).topk(2, -1)
    return (values / values.sum(-1, keepdim=True)), y.gather(-1, index) * values


def best_two_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    values, index = softtorch.topk(x.softmax(-1), 2, dim=-1, **S)
    return values / values.sum(-1, keepdim=True), (index * y[:, None]).sum(-1) * values


def smallest(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    values, index = x.topk(2, dim=0, largest=False)
    return values, y[index].sum(0)


def smallest_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    values, index = softtorch.topk(-x, 2, dim=0, **S)
    return -values, at(index, y).sum(0)


def extremes(x: Tensor) -> tuple[Tensor, ...]:
    high, i = x.max(-1)
    low, j = x.min(-1, keepdim=True)
    return high, i.double(), low, x.gather(-1, j), x.argmin(0).double()


def extremes_by_hand(x: Tensor) -> tuple[Tensor, ...]:
    high, p = softtorch.max(x, dim=-1, **S)
    low, q = softtorch.min(x, dim=-1, keepdim=True, **S)
    columns, rows = torch.arange(x.shape[1]).double(), torch.arange(x.shape[0]).double()
    return high, at(p, columns), low, (q * x[:, None]).sum(-1), at(softtorch.argmin(x, dim=0, **S), rows)


def middles(x: Tensor) -> tuple[Tensor, ...]:
    value, index = x.median(-1)
    third, k = x.kthvalue(3, dim=-1)
    return value, index.double(), third, x.gather(-1, k[:, None]), x.quantile(0.3, dim=-1), x.median()


def middles_by_hand(x: Tensor) -> tuple[Tensor, ...]:
    n = torch.arange(x.shape[-1]).double()
    value, p = softtorch.median(x, dim=-1, **S)
    third, q = softtorch.kthvalue(x, 3, dim=-1, **S)
    picked = (q * x).sum(-1, keepdim=True)
    return value, at(p, n), third, picked, softtorch.quantile(x, 0.3, dim=-1, **S), softtorch.median(x, **S)


def running(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    values, index = x.cummax(-1)
    return values, index.double(), x.cummin(-1).values


def running_by_hand(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    values, index = softtorch.cummax(x, dim=-1, **S)
    return values, at(index, torch.arange(x.shape[-1]).double()), softtorch.cummin(x, dim=-1, **S)[0]


def rank_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Ranks by sorting, then writing their numbers where they came from."""
    ranks = []
    for z in (x, y):
        place = torch.empty_like(z)
        place[z.argsort()] = torch.arange(len(z), dtype=z.dtype)
        ranks.append(place - place.mean())
    return (ranks[0] * ranks[1]).mean()


def rank_correlation_by_hand(x: Tensor, y: Tensor) -> Tensor:
    ranks = []
    for z in (x, y):
        order = softtorch.argsort(z, **S)  # (n, [n]): what stands at each place
        place = (order * torch.arange(len(z)).double()[:, None]).sum(0) / order.sum(0)  # each is written once
        ranks.append(place - place.mean())
    return (ranks[0] * ranks[1]).mean()


def nearest(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    index = torch.cdist(x, y).argmin(-1)
    return y[index], y[torch.cdist(x, y).topk(2, largest=False).indices].mean(1)


def nearest_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    distance = torch.cdist(x, y)
    return at(softtorch.argmin(distance, dim=-1, **S), y), at(softtorch.topk(-distance, 2, **S)[1], y).mean(1)


def distinct(x: Tensor) -> tuple[Tensor, Tensor]:
    values, place = torch.unique(x, return_inverse=True)
    return values, place.double()


def distinct_by_hand(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.sort().values, softtorch.rank(x, descending=False, **S) - 1


PAIRS = {
    "sort": Pair(sorted_both, sorted_both_by_hand, ((5,), (5, 2)), linear=False),
    "topk": Pair(best_two, best_two_by_hand, ((4, 5), (4, 5)), linear=False),
    "the smallest": Pair(smallest, smallest_by_hand, ((5, 3), (5,))),
    "max and min": Pair(extremes, extremes_by_hand, ((4, 5),), linear=False),
    "median, kthvalue, quantile": Pair(middles, middles_by_hand, ((4, 5),), linear=False),
    "cummax and cummin": Pair(running, running_by_hand, ((3, 5),)),
    "rank correlation": Pair(rank_correlation, rank_correlation_by_hand, ((6,), (6,)), linear=False),
    "nearest neighbours": Pair(nearest, nearest_by_hand, ((4, 3), (5, 3)), linear=False),
}


@pytest.mark.parametrize("name", PAIRS)
def test_an_order_does_softly_what_is_written_by_hand(name: str) -> None:
    agree(PAIRS[name])


def test_the_place_of_a_number_among_the_distinct_ones_is_its_soft_rank() -> None:
    """torch has no derivative of unique, so only the softened program is held against the one by hand."""
    import softfx
    from tests.softfx.by_hand import policy

    x = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    soft = softfx.soften(distinct, policy("soft"), example_inputs=(x,))
    weights = torch.arange(6, dtype=torch.float64)
    for found, wanted in zip(soft(x), distinct_by_hand(x), strict=True):
        assert torch.allclose(found, wanted)
        gradients = [torch.autograd.grad((part * weights).sum(), x, retain_graph=True)[0] for part in (found, wanted)]
        assert torch.allclose(*gradients)


def test_distinct_numbers_are_written_as_code() -> None:
    import softfx

    x = torch.tensor([0.3, -1.2, 0.3])
    report = softfx.diff(lambda x: torch.unique(x, return_inverse=True), example_inputs=(x,))
    assert "places.distinct" in report
