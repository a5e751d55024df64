"""Programs that select k of many: features of a network, channels of a signal, patches of an image, tokens, experts.

Sensors are among the tasks of `orderings`. What an expert writes is the straight-through trick at the mask: the hard
mask with the derivative of k times a softmax, or of a sigmoid where that is the custom.
"""

import torch
import torch.nn.functional as F
from programs.orderings import TASKS as ORDERINGS
from programs.task import Task
from torch import Tensor

__all__ = ["TASKS"]

Tensors = list[Tensor]


def _draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(5000 + seed)


def mask_of(scores: Tensor, k: int) -> Tensor:
    """The k largest of each row as 0 and 1, with the derivative of k times its softmax: (..., n) -> (..., n)."""
    hard = torch.zeros_like(scores).scatter(-1, scores.topk(k, -1).indices, 1.0)
    soft = k * scores.softmax(-1)
    return hard + soft - soft.detach()


# -- three features of ten before a network: a product and a sum ------------------------------------------------------


def make_features(seed: int, count: int = 256, features: int = 10) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.randn(count, features, generator=g)
    a, b, c = torch.randperm(features, generator=g)[:3].tolist()
    scores = 0.1 * torch.randn(features, generator=g)
    network = [0.5 * torch.randn(features, 16, generator=g), 0.3 * torch.randn(16, generator=g)]
    return [scores, *network], [x, x[:, a] * x[:, b] + x[:, c]]


def hard_features(parameters: Tensors, data: Tensors) -> Tensor:
    (scores, inner, outer), (x, y) = parameters, data
    keep = torch.zeros_like(scores)
    keep[scores.topk(3).indices] = 1.0
    return (torch.relu((x * keep) @ inner) @ outer - y).square().mean()


def practice_features(parameters: Tensors, data: Tensors) -> Tensor:
    (scores, inner, outer), (x, y) = parameters, data
    return (torch.relu((x * mask_of(scores, 3)) @ inner) @ outer - y).square().mean()


# -- three channels of twelve, each with a filter of its own ----------------------------------------------------------


def make_channels(seed: int, count: int = 200, channels: int = 12, length: int = 8) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.randn(count, channels, length, generator=g)
    good = torch.randperm(channels, generator=g)[:3]
    y = ((x[:, good] @ torch.randn(length, generator=g)).tanh().sum(1) > 0).float()
    return [0.05 * torch.randn(channels, generator=g), 0.3 * torch.randn(channels, length, generator=g)], [x, y]


def hard_channels(parameters: Tensors, data: Tensors) -> Tensor:
    (scores, filters), (x, y) = parameters, data
    chosen = scores.topk(3).indices
    heard = (x[:, chosen] * filters[chosen]).sum(-1).tanh()
    return F.binary_cross_entropy_with_logits(2.0 * heard.sum(1), y)


def practice_channels(parameters: Tensors, data: Tensors) -> Tensor:
    (scores, filters), (x, y) = parameters, data
    heard = (x * filters).sum(-1).tanh() * mask_of(scores, 3)
    return F.binary_cross_entropy_with_logits(2.0 * heard.sum(1), y)


# -- the mean of the three best of twelve patches ---------------------------------------------------------------------


def make_patches(seed: int, count: int = 150, patches: int = 12) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.randn(count, patches, 5, generator=g)
    best, worth = torch.randn(5, generator=g), torch.randn(5, generator=g)
    y = ((x @ worth).gather(1, (x @ best).topk(3, -1).indices).mean(1) > 0).float()
    return [0.3 * torch.randn(5, generator=g), 0.3 * torch.randn(5, generator=g)], [x, y]


def hard_patches(parameters: Tensors, data: Tensors) -> Tensor:
    (best, worth), (x, y) = parameters, data
    chosen = (x @ best).topk(3, -1).indices
    return F.binary_cross_entropy_with_logits(4.0 * (x @ worth).gather(1, chosen).mean(1), y)


def practice_patches(parameters: Tensors, data: Tensors) -> Tensor:
    (best, worth), (x, y) = parameters, data
    mean = (x @ worth * mask_of(x @ best, 3)).sum(1) / 3.0
    return F.binary_cross_entropy_with_logits(4.0 * mean, y)


# -- four tokens of sixteen, by a threshold ---------------------------------------------------------------------------


def make_tokens(seed: int, count: int = 128, tokens: int = 16) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.randn(count, tokens, 6, generator=g)
    chosen = (x @ torch.randn(6, generator=g)).topk(4, -1).indices
    y = (x @ torch.randn(6, generator=g)).gather(1, chosen).sum(1)
    scorer = [0.4 * torch.randn(6, 8, generator=g), 0.4 * torch.randn(8, generator=g)]
    return [*scorer, 0.4 * torch.randn(6, generator=g)], [x, y]


def hard_tokens(parameters: Tensors, data: Tensors) -> Tensor:
    (inner, outer, worth), (x, y) = parameters, data
    scores = torch.tanh(x @ inner) @ outer
    kept = (scores >= scores.topk(4, -1).values[:, -1:]).float()
    return ((x @ worth * kept).sum(1) - y).square().mean()


def practice_tokens(parameters: Tensors, data: Tensors) -> Tensor:
    (inner, outer, worth), (x, y) = parameters, data
    kept = mask_of(torch.tanh(x @ inner) @ outer, 4)
    return ((x @ worth * kept).sum(1) - y).square().mean()


# -- two experts of four ----------------------------------------------------------------------------------------------


def make_experts(seed: int, count: int = 256, experts: int = 4) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.randn(count, 6, generator=g)
    chosen = (x @ torch.randn(6, experts, generator=g)).topk(2, -1).indices
    y = (x @ torch.randn(6, experts, generator=g)).gather(1, chosen).sum(1)
    return [0.3 * torch.randn(6, experts, generator=g), 0.3 * torch.randn(6, experts, generator=g)], [x, y]


def hard_experts(parameters: Tensors, data: Tensors) -> Tensor:
    (route, weights), (x, y) = parameters, data
    chosen = (x @ route).topk(2, -1).indices
    return ((x @ weights).gather(1, chosen).sum(1) - y).square().mean()


def practice_experts(parameters: Tensors, data: Tensors) -> Tensor:
    (route, weights), (x, y) = parameters, data
    return ((x @ weights * mask_of(x @ route, 2)).sum(1) - y).square().mean()


TASKS = (
    *(task for task in ORDERINGS if task.selects),
    Task("features", make_features, hard_features, practice_features),
    Task("channels", make_channels, hard_channels, practice_channels),
    Task("patches", make_patches, hard_patches, practice_patches),
    Task("tokens", make_tokens, hard_tokens, practice_tokens),
    Task("experts", make_experts, hard_experts, practice_experts),
)
