"""Small modules and functions that the contract tests share: each has something that kills a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Case = tuple[Callable[[], tuple[Any, tuple[Any, ...]]], str]


def manifold_points(poly: Tensor, poly_mask: Tensor, poly_norm: Tensor) -> Tensor:
    """Four contact points of a polygon, as a physics engine picks them."""
    dist_mask = torch.where(poly_mask, 0.0, -1e6)
    a = poly[torch.argmax(dist_mask - 0.1 * torch.arange(poly.shape[0]))]
    b = poly[torch.argmax(((a - poly) ** 2).sum(dim=1) + dist_mask)]
    ab = torch.cross(poly_norm, a - b, dim=0)
    ap = a - poly
    c = poly[torch.argmax(torch.abs(ap @ ab) + dist_mask)]
    ac = torch.cross(poly_norm, a - c, dim=0)
    bc = torch.cross(poly_norm, b - c, dim=0)
    d = poly[torch.argmax(torch.abs((b - poly) @ bc) + torch.abs(ap @ ac) + dist_mask)]
    return torch.stack([a, b, c, d])


class Router(nn.Module):
    """Top-2 routing of tokens to experts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(6, 4)
        self.experts = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.gate(x).softmax(-1).topk(2, dim=-1)
        mask = F.one_hot(chosen, 4).float()
        outputs = torch.stack([expert(x) for expert in self.experts], -2)
        return torch.einsum("bke,bed->bkd", mask, outputs).mul(weights.unsqueeze(-1)).sum(1)


class Quantizer(nn.Module):
    """Nearest code, looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Embedding(8, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        distance = torch.cdist(x, self.codes.weight)
        index = distance.argmin(-1)
        return self.codes(index), index


class Tree(nn.Module):
    """A decision tree of depth two, walked by index arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor([0.0, 0.3, -0.3]))
        self.leaves = nn.Parameter(torch.tensor([1.0, 2.0, 4.0, 8.0]))

    def forward(self, x: Tensor) -> Tensor:
        left = (x[:, 0] < self.threshold[0]).long()
        node = 2 - left
        right = (x[:, 1] >= self.threshold[node]).long()
        return self.leaves[(node - 1) * 2 + right]


class InPlace(nn.Module):
    """Masked writes and clamps, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        view = y[:, :3]
        y[y > 0.5] = 0.5
        view.clamp_(min=-0.5)
        return y.round(decimals=1) + view.sign().sum()


def counts(x: Tensor) -> tuple[Tensor, Tensor]:
    """Counts, and arithmetic on them."""
    above = (x > 0).sum(-1)
    share = above.float() / x.shape[-1]
    return share, torch.where(above >= 3, share, -share)


def coordinates(heat: Tensor) -> tuple[Tensor, Tensor]:
    """Where the maximum of a map is, in rows and columns."""
    index = heat.flatten(1).argmax(-1)
    width = heat.shape[-1]
    return (index // width).float(), (index % width).float()


def ranks(x: Tensor, y: Tensor) -> Tensor:
    """A rank correlation."""
    a, b = x.argsort().argsort().float(), y.argsort().argsort().float()
    return ((a - a.mean()) * (b - b.mean())).mean()


def _module(kind: type[nn.Module]) -> Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]:
    def build() -> tuple[nn.Module, tuple[Tensor, ...]]:
        torch.manual_seed(0)
        module = kind()
        return module, (torch.randn(5, 6),)

    return build


def _function(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Callable[[], tuple[Any, tuple[Tensor, ...]]]:
    def build() -> tuple[Any, tuple[Tensor, ...]]:
        torch.manual_seed(0)
        return function, tuple(torch.randn(*shape) for shape in shapes)

    return build


def _contact() -> tuple[Any, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return manifold_points, (torch.randn(8, 3), torch.arange(8) < 6, torch.randn(3))


def _sequential() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3), nn.Hardtanh(), nn.MaxPool1d(2))
    return layers, (torch.randn(5, 6),)


CASES: dict[str, Callable[[], tuple[Any, tuple[Any, ...]]]] = {
    "contact": _contact,
    "sequential": _sequential,
    "router": _module(Router),
    "quantizer": _module(Quantizer),
    "tree": _module(Tree),
    "in_place": _module(InPlace),
    "counts": _function(counts, (4, 5)),
    "coordinates": _function(coordinates, (3, 4, 5)),
    "ranks": _function(ranks, (7,), (7,)),
}
