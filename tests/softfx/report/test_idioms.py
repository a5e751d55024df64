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
WRITTEN = "inverse permutation: numbers written in an order"


def written_in_order(x: Tensor) -> Tensor:
    places = torch.empty(4, 6)
    places.scatter_(1, x.argsort(-1), torch.arange(6.0).expand(4, 6))
    return places


def kept_by_index(x: Tensor) -> Tensor:
    rows = x.flatten()[x.flatten() > -0.5]
    return rows[rows < 0.8]


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
