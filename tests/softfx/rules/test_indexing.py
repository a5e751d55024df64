"""Soft indices: arithmetic on the numbers they range over, comparisons, look-ups, writes, as by hand in softtorch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softtorch
from tests.softfx.by_hand import SOFTNESS, Pair, agree


def chosen(x: Tensor) -> Tensor:
    """argmax along the last axis, softly.  # (..., n) -> (..., [n])"""
    result: Tensor = softtorch.argmax(x, dim=-1, softness=SOFTNESS)
    return result


def worth(p: Tensor, numbers: Tensor) -> Tensor:
    return (p * numbers).sum(-1)


def rows_and_columns(h: Tensor) -> tuple[Tensor, Tensor]:
    i = h.flatten(1).argmax(-1)
    return (i // h.shape[-1]).float(), (i % h.shape[-1]).double()


def rows_and_columns_by_hand(h: Tensor) -> tuple[Tensor, Tensor]:
    p, n = chosen(h.flatten(1)), torch.arange(h[0].numel())
    return worth(p, n // h.shape[-1]).float(), worth(p, n % h.shape[-1])


def unraveled(h: Tensor) -> tuple[Tensor, ...]:
    return tuple(i.double() for i in torch.unravel_index(h.flatten(1).argmax(-1), h.shape[1:]))


def unraveled_by_hand(h: Tensor) -> tuple[Tensor, Tensor]:
    p, n = chosen(h.flatten(1)), torch.arange(h[0].numel())
    return worth(p, n // h.shape[-1]), worth(p, n % h.shape[-1])


def neighbours(x: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    i = x.argmax(-1)
    return table[(i + 1) % len(table)], table[i - 1]


def neighbours_by_hand(x: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    p = chosen(x)
    return p.roll(1, -1) @ table, p.roll(-1, -1) @ table


def compared(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    i, j = x.argmax(-1), y.argmax(-1)
    target = torch.arange(len(x)) % x.shape[-1]
    return (
        (i >= 2).double(),
        (i == target).double(),
        (i == j).double(),
        (torch.arange(x.shape[-1]) <= i[:, None]).double(),
    )


def compared_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    p, q = chosen(x), chosen(y)
    target = torch.arange(len(x)) % x.shape[-1]
    return (
        p[:, 2:].sum(-1),
        p.gather(1, target[:, None])[:, 0],
        (p * q).sum(-1),
        p.flip(-1).cumsum(-1).flip(-1),  # arange <= i: all that is at or beyond it
    )


def apart(x: Tensor, y: Tensor) -> Tensor:
    return (x.argmax(-1) - y.argmin(-1)).abs().double()


def apart_by_hand(x: Tensor, y: Tensor) -> Tensor:
    p, q, n = chosen(x), chosen(-y), torch.arange(x.shape[-1])
    return torch.einsum("bi,bj,ij->b", p, q, (n[:, None] - n).abs().double())


def looked_up(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    i = x.argmax(-1)
    table = torch.arange(10.0, dtype=torch.float64).reshape(5, 2)
    return y.gather(1, i[:, None]), y[torch.arange(len(y)), i], F.embedding(i, table), table.index_select(0, i)


def looked_up_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    p, table = chosen(x), torch.arange(10.0, dtype=torch.float64).reshape(5, 2)
    picked = worth(p, y)
    return picked[:, None], picked, p @ table, p @ table


def looked_up_twice(x: Tensor) -> Tensor:
    """Integers found by a soft index are a soft index again."""
    squares = torch.arange(5) ** 2
    return torch.arange(17.0, dtype=torch.float64).sqrt()[squares[x.argmax(-1)]]


def looked_up_twice_by_hand(x: Tensor) -> Tensor:
    return chosen(x) @ torch.arange(5.0, dtype=torch.float64)


def one_hots(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    hot = F.one_hot(x.argmax(-1), x.shape[-1])
    return hot.double(), hot.sum(0).double(), hot.cumsum(-1).double()


def one_hots_by_hand(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    p = chosen(x)
    return p, p.sum(0), p.cumsum(-1)


def added_by_index(x: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    i, zeros = x.argmax(-1), torch.zeros(x.shape[-1], v.shape[-1], dtype=v.dtype)
    wide = i[:, None].expand(-1, v.shape[-1])
    return (
        zeros.scatter_add(0, wide, v),
        zeros.index_add(0, i, v),
        zeros.index_put((i,), v, accumulate=True),
    )


def added_by_index_by_hand(x: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    total = chosen(x).T @ v
    return total, total, total


def counted(x: Tensor) -> tuple[Tensor, Tensor]:
    i, n = x.argmax(-1), x.shape[-1]
    target = torch.arange(len(x)) % n
    return torch.bincount(i, minlength=n).double(), torch.bincount(target * n + i, minlength=n * n).double()


def counted_by_hand(x: Tensor) -> tuple[Tensor, Tensor]:
    p, n = chosen(x), x.shape[-1]
    hot = F.one_hot(torch.arange(len(x)) % n, n).double()
    return p.sum(0), (hot.T @ p).flatten()


def written_at_index(x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    i, rows = x.argmax(-1), torch.arange(len(x))
    y = v.clone()
    y[rows, i] = 2.0
    return y, v.scatter(1, i[:, None], -1.0)


def written_at_index_by_hand(x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    p = chosen(x)
    return (1 - p) * v + p * 2.0, (1 - p) * v - p


def ranks(x: Tensor) -> Tensor:
    return x.argsort().argsort().double()


def ranks_by_hand(x: Tensor) -> Tensor:
    """The inverse of the permutation, which is the rank."""
    return softtorch.rank(x, softness=SOFTNESS, descending=False) - 1


def chosen_by_a_decision(x: Tensor, y: Tensor) -> Tensor:
    i = torch.where(x.sum(-1) > 0, x.argmax(-1), y.argmax(-1))
    return i.double()


def chosen_by_a_decision_by_hand(x: Tensor, y: Tensor) -> Tensor:
    b, n = softtorch.greater(x.sum(-1), 0.0, softness=SOFTNESS), torch.arange(x.shape[-1])
    return b * worth(chosen(x), n) + (1 - b) * worth(chosen(y), n)


def first_above(x: Tensor) -> Tensor:
    return (x > 0).double().argmax(-1).double()


def first_above_by_hand(x: Tensor) -> Tensor:
    b = softtorch.greater(x, torch.zeros((), dtype=x.dtype), softness=SOFTNESS)
    none_before = torch.cat([torch.ones_like(b[:, :1]), (1 - b).cumprod(-1)[:, :-1]], -1)
    return worth(b * none_before, torch.arange(x.shape[-1]))


def steps(x: Tensor) -> Tensor:
    return x.argsort().diff().double()


def steps_by_hand(x: Tensor) -> Tensor:
    return worth(softtorch.argsort(x, softness=SOFTNESS), torch.arange(x.shape[-1])).diff()


PAIRS = {
    "rows and columns": Pair(rows_and_columns, rows_and_columns_by_hand, ((3, 4, 5),)),
    "unravel_index": Pair(unraveled, unraveled_by_hand, ((3, 4, 5),)),
    "an index plus an offset": Pair(neighbours, neighbours_by_hand, ((3, 5), (5, 2))),
    "comparisons": Pair(compared, compared_by_hand, ((4, 5), (4, 5)), linear=False),
    "two indices": Pair(apart, apart_by_hand, ((4, 5), (4, 5)), linear=False),
    "look-ups": Pair(looked_up, looked_up_by_hand, ((4, 5), (4, 5)), linear=False),
    "look-ups of integers": Pair(looked_up_twice, looked_up_twice_by_hand, ((4, 5),)),
    "one_hot": Pair(one_hots, one_hots_by_hand, ((4, 5),)),
    "additions by an index": Pair(added_by_index, added_by_index_by_hand, ((6, 4), (6, 3)), linear=False),
    "bincount": Pair(counted, counted_by_hand, ((9, 4),)),
    "writes at an index": Pair(written_at_index, written_at_index_by_hand, ((4, 5), (4, 5)), linear=False),
    "argsort of argsort": Pair(ranks, ranks_by_hand, ((7,),)),
    "where of indices": Pair(chosen_by_a_decision, chosen_by_a_decision_by_hand, ((4, 5), (4, 5)), linear=False),
    "the first that is true": Pair(first_above, first_above_by_hand, ((4, 6),)),
    "diff": Pair(steps, steps_by_hand, ((6,),)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_an_index_does_softly_what_is_written_by_hand(name: str) -> None:
    agree(PAIRS[name])
