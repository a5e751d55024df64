"""Tasks that choose and order: NDCG, Spearman, sensors, experts behind a router, keypoints."""

import torch
from programs.task import Task
from torch import Tensor

__all__ = ["TASKS"]

Tensors = list[Tensor]


def _draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(2000 + seed)


def soft_ranks(scores: Tensor, width: float = 0.1) -> Tensor:
    """How many entries of its row are below each: (..., n) -> (..., n)."""
    apart = scores.unsqueeze(-1) - scores.unsqueeze(-2)
    return torch.sigmoid(apart / width / scores.std().detach()).sum(-1) - 0.5


# -- NDCG of a linear scorer -------------------------------------------------------------------------------------------


def make_ndcg(seed: int, queries: int = 24, count: int = 12) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.randn(queries, count, 6, generator=g)
    score = x @ torch.randn(6, generator=g) + 0.3 * torch.randn(queries, count, generator=g)
    return [0.5 * torch.randn(6, generator=g)], [x, (score - score.mean()).clamp(min=0.0)]


def hard_ndcg(parameters: Tensors, data: Tensors) -> Tensor:
    x, gains = data
    weights = 1.0 / torch.log2(2.0 + torch.arange(x.shape[1]))
    order = (x @ parameters[0]).argsort(-1, descending=True)
    best = (gains.sort(-1, descending=True).values * weights).sum(-1)
    return 1.0 - ((gains.gather(-1, order) * weights).sum(-1) / best).mean()


def practice_ndcg(parameters: Tensors, data: Tensors) -> Tensor:
    x, gains = data
    weights = 1.0 / torch.log2(2.0 + torch.arange(x.shape[1]))
    place = x.shape[1] - 1 - soft_ranks(x @ parameters[0])  # ApproxNDCG
    best = (gains.sort(-1, descending=True).values * weights).sum(-1)
    return 1.0 - ((gains / torch.log2(2.0 + place)).sum(-1) / best).mean()


# -- Spearman's correlation, ranks by argsort of argsort ---------------------------------------------------------------


def make_spearman(seed: int, count: int = 60) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.randn(count, 6, generator=g)
    y = (x @ torch.randn(6, generator=g) + 1.2 * torch.randn(count, generator=g)).exp()
    return [0.5 * torch.randn(6, generator=g)], [x, y]


def correlation(x: Tensor, y: Tensor) -> Tensor:
    x, y = x - x.mean(), y - y.mean()
    return (x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()


def hard_spearman(parameters: Tensors, data: Tensors) -> Tensor:
    x, y = data
    ranks = (x @ parameters[0]).argsort().argsort().float()
    return 1.0 - correlation(ranks, y.argsort().argsort().float())


def practice_spearman(parameters: Tensors, data: Tensors) -> Tensor:
    x, y = data
    return 1.0 - correlation(soft_ranks(x @ parameters[0]), y.argsort().argsort().float())


# -- which sensors to read, and what to make of them -------------------------------------------------------------------


def make_sensors(seed: int, count: int = 300, sensors: int = 16) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.randn(count, sensors, generator=g)
    weights = torch.zeros(sensors)
    weights[torch.randperm(sensors, generator=g)[:4]] = torch.tensor([3.0, -2.5, 2.0, -1.5])
    y = x @ weights + 0.3 * torch.randn(count, generator=g)
    return [0.1 * torch.randn(sensors, generator=g), 0.1 * torch.randn(sensors, generator=g)], [x, y]


def hard_sensors(parameters: Tensors, data: Tensors) -> Tensor:
    (scores, weights), (x, y) = parameters, data
    chosen = torch.zeros_like(scores).scatter(0, scores.topk(4).indices, 1.0)
    return (x @ (chosen * weights) - y).square().mean()


def practice_sensors(parameters: Tensors, data: Tensors) -> Tensor:
    (scores, weights), (x, y) = parameters, data
    gates = torch.sigmoid((scores - scores.topk(5).values[-1]) / 0.1)
    chosen = torch.zeros_like(scores).scatter(0, scores.topk(4).indices, 1.0)
    chosen = chosen + gates - gates.detach()
    return (x @ (chosen * weights) - y).square().mean()


# -- a router that sends each row to one expert ------------------------------------------------------------------------


def make_router(seed: int, count: int = 400) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.randn(count, 2, generator=g)
    angle = 6.28 * torch.rand((), generator=g)
    side = torch.stack([angle.cos(), angle.sin()])
    y = torch.where(x @ side > 0, x @ torch.tensor([1.5, -1.0]) + 1.0, x @ torch.tensor([-1.0, 2.0]) - 1.0)
    return [0.3 * torch.randn(2, 3, generator=g), 0.3 * torch.randn(3, 3, generator=g)], [x, y]


def experts(weights: Tensor, x: Tensor) -> Tensor:
    return x @ weights[:, :2].T + weights[:, 2]  # (n, experts)


def hard_router(parameters: Tensors, data: Tensors) -> Tensor:
    (route, weights), (x, y) = parameters, data
    chosen = (x @ route).argmax(-1, keepdim=True)
    return (experts(weights, x).gather(-1, chosen).squeeze(-1) - y).square().mean()


def practice_router(parameters: Tensors, data: Tensors) -> Tensor:
    (route, weights), (x, y) = parameters, data
    logits = x @ route
    soft = logits.softmax(-1)
    hard = torch.nn.functional.one_hot(logits.argmax(-1), 3).float()
    return (((hard + soft - soft.detach()) * experts(weights, x)).sum(-1) - y).square().mean()


# -- keypoints as the place of the largest entry of a map --------------------------------------------------------------


def make_keypoints(seed: int, count: int = 40, size: int = 12) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    place = 1 + (size - 3) * torch.rand(count, 2, generator=g)
    rows = torch.arange(size)
    distance = (rows.view(-1, 1) - place[:, 0].view(-1, 1, 1)).square()
    distance = distance + (rows - place[:, 1].view(-1, 1, 1)).square()
    image = torch.exp(-distance / 3.0) + 0.25 * torch.randn(distance.shape, generator=g)
    return [0.2 * torch.randn(1, 1, 5, 5, generator=g)], [image.unsqueeze(1), place]


def hard_keypoints(parameters: Tensors, data: Tensors) -> Tensor:
    image, place = data
    heat = torch.nn.functional.conv2d(image, parameters[0], padding=2).squeeze(1)
    index = heat.flatten(1).argmax(-1)
    found = torch.stack([index // heat.shape[-1], index % heat.shape[-1]], -1).float()
    return (found - place).abs().mean()


def practice_keypoints(parameters: Tensors, data: Tensors) -> Tensor:
    image, place = data
    heat = torch.nn.functional.conv2d(image, parameters[0], padding=2).squeeze(1)
    weights = (5.0 * heat.flatten(1)).softmax(-1).view_as(heat)  # soft-argmax
    rows = torch.arange(heat.shape[-1], dtype=heat.dtype)
    found = torch.stack([(weights.sum(2) * rows).sum(-1), (weights.sum(1) * rows).sum(-1)], -1)
    return (found - place).abs().mean()


TASKS = (
    Task("NDCG", make_ndcg, hard_ndcg, practice_ndcg, rate=0.03),
    Task("Spearman", make_spearman, hard_spearman, practice_spearman, rate=0.03),
    Task("sensors", make_sensors, hard_sensors, practice_sensors, selects=True),
    Task("router", make_router, hard_router, practice_router),
    Task("keypoints", make_keypoints, hard_keypoints, practice_keypoints, rate=0.02),
)
