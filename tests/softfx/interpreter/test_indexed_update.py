"""y[i] += v by a soft index adds to the places: what is added up to is kept, as by hand in softtorch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import softfx
import softtorch
from tests.softfx.by_hand import SOFTNESS, Pair, agree


def chosen(x: Tensor) -> Tensor:
    """argmax along the last axis, softly.  # (..., n) -> (..., [n])"""
    result: Tensor = softtorch.argmax(x, dim=-1, softness=SOFTNESS)
    return result


def in_place(x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    y = y.clone()
    y[x.argmax()] += v[0]
    return y


def once_more(x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    y, i = y.clone(), x.argmax()
    y[i] = v[0] + y[i]
    return y


def added(x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    return y + chosen(x) * v


def votes(x: Tensor) -> Tensor:
    counts = x.new_zeros(x.shape[-1])
    for row in x:
        counts[row.argmax()] += 1.0
    return counts


def votes_by_hand(x: Tensor) -> Tensor:
    return chosen(x).sum(dim=0)


def rows(x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    y = y.clone()
    y[x.argmax()] += v
    y[x.argmin(), 1] += 2.0
    return y


def rows_by_hand(x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    last = softtorch.argmin(x, softness=SOFTNESS)
    return y + chosen(x)[:, None] * v + 2.0 * last[:, None] * torch.tensor([0.0, 1.0, 0.0])


def ordered(x: Tensor, y: Tensor) -> Tensor:
    y = y.clone()
    y[x.argsort()] += torch.arange(4.0, dtype=x.dtype)
    return y


def ordered_by_hand(x: Tensor, y: Tensor) -> Tensor:
    return y + torch.arange(4.0, dtype=x.dtype) @ softtorch.argsort(x, softness=SOFTNESS)


PAIRS = {
    "in place": Pair(in_place, added, ((5,), (5,), (1,))),
    "out of place": Pair(once_more, added, ((5,), (5,), (1,))),
    "votes": Pair(votes, votes_by_hand, ((6, 4),)),
    "rows": Pair(rows, rows_by_hand, ((4,), (4, 3), (3,))),
    "places that differ": Pair(ordered, ordered_by_hand, ((4,), (4,))),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_what_is_added_at_a_soft_place_is_as_by_hand(pair: Pair) -> None:
    agree(pair)


def test_places_that_may_be_the_same_are_written_and_not_added_up() -> None:
    def twice(x: Tensor) -> Tensor:
        y = torch.ones(4)
        y[x.argmax(dim=-1)] += 1.0  # of places named twice torch writes one
        return y

    x = torch.tensor([[0.0, 9.0, 0.0, 0.0], [0.0, 9.0, 1.0, 0.0]])
    soft = softfx.soften(twice, "smooth", example_inputs=(x,))
    p = softtorch.argmax(x, dim=-1)
    assert torch.allclose(soft(x), softtorch.scatter(torch.ones(4), 0, p, p.sum(dim=-1) + 1.0))


def test_a_write_in_between_is_seen() -> None:
    def late(x: Tensor, y: Tensor) -> Tensor:
        y, i = y.clone(), x.argmax()
        value = y[i] + 1.0
        y[:] = 0.0
        y[i] = value
        return y

    x, y = torch.tensor([0.1, 9.0, 0.3]), torch.tensor([1.0, 2.0, 3.0])
    soft = softfx.soften(late, "smooth", example_inputs=(x, y))
    softfx.set_softness(soft, 1e-3)
    assert torch.allclose(soft(x, y), torch.tensor([0.0, 3.0, 0.0]), atol=1e-6)
