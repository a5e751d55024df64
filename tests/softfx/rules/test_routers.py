"""Routers: one_hot of a choice, places by cumsum, capacities, dispatch and combine, as by hand in softtorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softtorch
from tests.softfx.by_hand import SOFTNESS, Pair, agree

S: dict[str, Any] = {"softness": SOFTNESS}


def dispatched(x: Tensor) -> tuple[Tensor, Tensor]:
    """Top-1 with a capacity: each token's place in the queue of its expert, dropped beyond the second."""
    gate, expert = x.softmax(-1).max(-1)
    mask = F.one_hot(expert, x.shape[-1])
    place = mask.cumsum(0) * mask
    kept = mask * (place <= 2)
    return (gate[:, None] * kept).sum(0), kept.sum(0).double()


def dispatched_by_hand(x: Tensor) -> tuple[Tensor, Tensor]:
    gate, p = softtorch.max(x.softmax(-1), dim=-1, **S)
    place = p.cumsum(0) * p
    kept = p * (3 - place).clamp(0, 1)
    return (gate[:, None] * kept).sum(0), kept.sum(0)


def combined(x: Tensor, experts: Tensor) -> Tensor:
    """Top-2: weights and experts by index."""
    weights, chosen = x.topk(2, -1)
    mask = F.one_hot(chosen, x.shape[-1]).permute(2, 1, 0)  # expert, choice, token
    return torch.einsum("ekt,tk,ed->td", mask.double(), weights.softmax(-1), experts)


def combined_by_hand(x: Tensor, experts: Tensor) -> Tensor:
    weights, p = softtorch.topk(x, 2, dim=-1, **S)
    return torch.einsum("tke,tk,ed->td", p, weights.softmax(-1), experts)


def balance(x: Tensor) -> Tensor:
    """The load-balancing loss of sparse mixtures: the share of tokens times the mean gate."""
    gates = x.softmax(-1)
    share = F.one_hot(gates.argmax(-1), x.shape[-1]).double().mean(0)
    return (share * gates.mean(0)).sum() * x.shape[-1]


def balance_by_hand(x: Tensor) -> Tensor:
    gates = x.softmax(-1)
    return (softtorch.argmax(gates, dim=-1, **S).mean(0) * gates.mean(0)).sum() * x.shape[-1]


def masked_softmax(x: Tensor) -> Tensor:
    """All but the best two are excluded by a mask that is scattered."""
    chosen = x.topk(2, -1).indices
    mask = torch.zeros_like(x).scatter_(-1, chosen, 1.0)
    return x.exp() * mask


def masked_softmax_by_hand(x: Tensor) -> Tensor:
    p = softtorch.topk(x, 2, dim=-1, **S)[1]
    return x.exp() * p.sum(-2).clamp(max=1.0)  # writes that take more than the whole share it


def per_expert(x: Tensor, tokens: Tensor) -> Tensor:
    """Each expert works on the tokens that chose it, and writes their results back."""
    out = torch.zeros_like(tokens)
    expert = x.argmax(-1)
    for number in range(x.shape[-1]):
        mine = expert == number
        out[mine] = (tokens[mine] * (number + 1)).tanh()
    return out


def per_expert_by_hand(x: Tensor, tokens: Tensor) -> Tensor:
    p, out = softtorch.argmax(x, dim=-1, **S), torch.zeros_like(tokens)
    for number in range(x.shape[-1]):
        out = softtorch.where(p[:, number : number + 1], (tokens * (number + 1)).tanh(), out)
    return out


PAIRS = {
    "a capacity": Pair(dispatched, dispatched_by_hand, ((6, 3),), linear=False),
    "dispatch and combine": Pair(combined, combined_by_hand, ((5, 4), (4, 3)), linear=False),
    "load balance": Pair(balance, balance_by_hand, ((6, 4),), linear=False),
    "a scattered mask": Pair(masked_softmax, masked_softmax_by_hand, ((4, 5),), linear=False),
    "a loop over experts": Pair(per_expert, per_expert_by_hand, ((6, 3), (6, 2)), linear=False),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_router_does_softly_what_is_written_by_hand(name: str) -> None:
    agree(PAIRS[name])
