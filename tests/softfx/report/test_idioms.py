"""Idioms that rules recognise by what flows where are told in the report, however they are spelled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx

F = torch.nn.functional
Program = Callable[[Tensor], Tensor]

RANK = "rank: argsort of argsort"
VOTE = "vote: argmax of counts"
MAJORITY = "majority: how many decisions hold, compared"
OWN = "order statistic: numbers compared with one of their own"
EXTREME = "extreme: numbers compared with the largest or smallest of their own"
RUNNING = "running extreme: numbers compared with those before them"
LOCAL = "local extreme: numbers compared with their neighbours"
CLIPPED = "clipping: whether it was done is asked of the numbers themselves"
TWICE = "masked twice: rows that both masks select"
CHOSEN = "mask of a choice: each place is told whether it was chosen"
COUNTED = "mask of a count: as many places as decisions hold"
SEARCHED = "rank: numbers searched in their own order"
MADE = "number made of a choice: compared for each place that it may be"
SHIFTED, PLACED = "bits: a number shifted to one of its bits", "bits: decisions shifted to their places in a number"
WRITTEN = "inverse permutation: numbers written in an order"


def written_in_order(x: Tensor) -> Tensor:
    places = torch.empty(4, 6)
    places.scatter_(1, x.argsort(-1), torch.arange(6.0).expand(4, 6))
    return places


def kept_by_index(x: Tensor) -> Tensor:
    rows = x.flatten()[x.flatten() > -0.5]
    return rows[rows < 0.8]


CENTRES = torch.tensor([[-1.0, 0.0], [0.5, 0.2], [1.0, -1.0]])


def nearest(x: Tensor) -> Tensor:
    return torch.cdist(x.view(12, 2), CENTRES).argmin(-1)


def nearest_written(x: Tensor) -> Tensor:
    mask = torch.zeros(12, 3)
    mask[torch.arange(12), nearest(x)] = 1.0
    return mask


def largest_kept_out(x: Tensor) -> Tensor:
    mask = torch.ones(24, dtype=torch.bool)
    mask[x.flatten().topk(3).indices] = False
    return mask


def suppressed(x: Tensor) -> Tensor:
    """Of neighbours the best one stays."""
    kept = torch.ones_like(x)
    for _ in range(2):
        best = (x * kept + (1.0 - kept) * x.min().detach()).argmax(-1, keepdim=True)
        kept = kept * (1.0 - ((torch.arange(6) - best).abs() == 1).float())
    return kept


SPELLINGS: list[tuple[str, Program]] = [
    (RANK, lambda x: x.argsort(-1).argsort(-1)),
    (RANK, lambda x: torch.argsort(torch.sort(x, -1)[1], -1)),
    (RANK, lambda x: x.sort(-1, descending=True).indices.sort(-1).indices),
    (WRITTEN, lambda x: torch.zeros(4, 6).scatter(1, x.argsort(-1), torch.arange(6.0).expand(4, 6))),
    (WRITTEN, written_in_order),
    ("first true: argmax of bools", lambda x: (x > 0.3).int().argmax(-1)),
    ("first true: argmax of bools", lambda x: torch.argmax((x > 0.3).float(), dim=1)),
    ("first false: argmin of bools", lambda x: (x <= 0.3).long().argmin(1)),
    (VOTE, lambda x: F.one_hot(x.argmax(-1), 6).sum(0).argmax(-1)),
    (MAJORITY, lambda x: (x > 0.0).sum(-1) > 3),
    (MAJORITY, lambda x: torch.count_nonzero(x > 0.0, -1).ge(4)),
    (MAJORITY, lambda x: (x > 0.0).float().sum(-1) >= 4),
    (EXTREME, lambda x: x == x.amax(-1, keepdim=True)),
    (EXTREME, lambda x: x.ge(x.max(-1, True).values)),
    (OWN, lambda x: x >= x.topk(2).values[:, -1:]),
    (OWN, lambda x: x > x.median(-1, keepdim=True).values),
    (RUNNING, lambda x: x >= x.cummax(-1).values),
    (LOCAL, lambda x: x == F.max_pool1d(x.unsqueeze(1), 3, 1, 1)[:, 0]),
    (CLIPPED, lambda x: F.relu(x) > 0),
    (CLIPPED, lambda x: torch.count_nonzero(x.clamp(min=0.0), -1)),
    ("tolerance: two thresholds", lambda x: torch.isclose(x, torch.tensor(0.3), rtol=0.0, atol=0.4)),
    (CHOSEN, lambda x: F.one_hot(nearest(x), 3)),
    (CHOSEN, lambda x: nearest(x).unsqueeze(-1) == torch.arange(3)),
    (CHOSEN, lambda x: torch.zeros(12, 3).scatter(1, nearest(x).unsqueeze(1), 1.0)),
    (CHOSEN, nearest_written),
    (CHOSEN, lambda x: torch.zeros(4, 6).scatter(1, x.topk(2, -1).indices, 1.0)),
    (CHOSEN, lambda x: torch.zeros_like(x).scatter_(-1, x.topk(2, -1)[1], torch.ones(4, 2))),
    (CHOSEN, largest_kept_out),
    (COUNTED, lambda x: torch.arange(6) < (x > 0.0).sum(-1, keepdim=True)),
    (COUNTED, lambda x: (x > 0.0).sum(-1).unsqueeze(1) > torch.arange(8)),
    (COUNTED, lambda x: torch.count_nonzero(x > 0.0, -1)[:, None].gt(torch.arange(6))),
    (SEARCHED, lambda x: torch.searchsorted(x.sort(-1).values, x)),
    (SEARCHED, lambda x: torch.searchsorted(torch.sort(x.flatten())[0], x.flatten(), right=True)),
    (SEARCHED, lambda x: (lambda row: torch.bucketize(row, row.msort()))(x.flatten())),
    (MADE, suppressed),
    (MADE, lambda x: (x.argmax(-1) - torch.tensor([0, 1, 2, 3])).abs() <= 1),
    (MADE, lambda x: torch.abs(x.argmax(-1, keepdim=True) - torch.arange(6)).lt(2)),
    (SHIFTED, lambda x: (x.argmax(-1, keepdim=True) >> torch.arange(3)) & 1),
    (SHIFTED, lambda x: torch.bitwise_right_shift(nearest(x), 1)),
    (PLACED, lambda x: (x > 0.0).long() << torch.arange(6)),
    (PLACED, lambda x: (x > 0.0).int().bitwise_left_shift(torch.arange(6, dtype=torch.int32)).sum(-1)),
    (TWICE, kept_by_index),
    (TWICE, lambda x: x[x > -0.5].masked_select(x[x > -0.5] < 0.8)),
]


@pytest.mark.parametrize(("idiom", "program"), SPELLINGS)
def test_an_idiom_is_told_by_name(idiom: str, program: Program) -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def weighted(x: Tensor) -> Tensor:
        result = program(x).float()
        return (result * torch.linspace(0.5, 2.0, result.numel()).view(result.shape)).sum()

    report = softfx.check(weighted, example_inputs=(x,))
    assert any(idiom in site.reason for site in report.sites)


def test_what_is_none_is_not_told() -> None:
    x = torch.randn(6, requires_grad=True)
    report = softfx.check(lambda x: (x > 0.2).float().sum() + x.argsort().float()[0], example_inputs=(x,))
    assert not any(word in site.reason for site in report.sites for word in ("rank:", "majority:", "statistic:"))


NONE_OF_THEM: list[tuple[str, Program]] = [
    (CHOSEN, lambda x: x.argmax(-1) == 2),
    (CHOSEN, lambda x: x.argmax(-1) == torch.tensor([0, 1, 2, 3])),  # a number for each row
    (CHOSEN, lambda x: torch.zeros(4, 6).scatter(1, x.topk(2, -1).indices, torch.rand(4, 2))),
    (CHOSEN, lambda x: torch.rand(4, 6).scatter(1, x.topk(2, -1).indices, 1.0)),
    (COUNTED, lambda x: (x > 0.0).sum(-1) > 3),
    (COUNTED, lambda x: (x > 0.0).sum(-1) > torch.tensor([1, 2, 3, 2])),
    (COUNTED, lambda x: (x > 0.0).sum(-1, keepdim=True) > torch.tensor([2, 4])),  # two questions about a count
    (SEARCHED, lambda x: torch.searchsorted((2.0 * x).flatten().sort().values, x.flatten())),
    (SEARCHED, lambda x: torch.searchsorted(x[0].sort().values, x[1])),
    (SEARCHED, lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 1.0]))),
    (MADE, lambda x: x.argmax(-1) == 2),
    (MADE, lambda x: ((x > 0.2).float() - 0.3).abs() < 0.5),
    (SHIFTED, lambda x: x.argmax(-1) * 2),
]


@pytest.mark.parametrize(("idiom", "program"), NONE_OF_THEM)
def test_what_is_like_an_idiom_is_not_told(idiom: str, program: Program) -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    report = softfx.check(lambda x: program(x).float().sum(), example_inputs=(x,))
    assert not any(idiom in site.reason for site in report.sites)
