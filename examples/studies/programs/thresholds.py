"""Tasks that decide by thresholds: a box of rules, F1, a histogram, dice after morphology, a spiking net."""

import torch
import torch.nn.functional as F
from programs.task import Task
from torch import Tensor

__all__ = ["TASKS"]

Tensors = list[Tensor]


def _draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 + seed)


# -- rule box: which rows lie in a box, as intersection over union -----------------------------------------------------


def make_box(seed: int, count: int = 400) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.randn(count, 3, generator=g)
    low = -1.1 + 0.3 * torch.randn(3, generator=g)
    inside = ((x > low) & (x < low + 2.0)).all(-1)
    return [torch.full((3,), 0.2), torch.full((3,), 1.6)], [x, inside.float()]


def overlap(inside: Tensor, wanted: Tensor) -> Tensor:
    both = (inside * wanted).sum()
    return 1.0 - both / (inside.sum() + wanted.sum() - both)


def hard_box(parameters: Tensors, data: Tensors) -> Tensor:
    (low, high), (x, wanted) = parameters, data
    return overlap(((x > low) & (x < high)).all(-1).float(), wanted)


def practice_box(parameters: Tensors, data: Tensors) -> Tensor:
    (low, high), (x, wanted) = parameters, data
    return overlap((torch.sigmoid((x - low) / 0.1) * torch.sigmoid((high - x) / 0.1)).prod(-1), wanted)


# -- F1 of a linear classifier with few positives ----------------------------------------------------------------------


def make_f1(seed: int, count: int = 400) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.randn(count, 8, generator=g)
    score = x @ torch.randn(8, generator=g) + 1.5 * torch.randn(count, generator=g)
    return [0.3 * torch.randn(8, generator=g), torch.tensor(-1.0)], [x, (score > score.quantile(0.85)).float()]


def f1(predicted: Tensor, wanted: Tensor) -> Tensor:
    return 1.0 - 2.0 * (predicted * wanted).sum() / (predicted.sum() + wanted.sum())


def hard_f1(parameters: Tensors, data: Tensors) -> Tensor:
    (weight, bias), (x, wanted) = parameters, data
    return f1((x @ weight + bias > 0).float(), wanted)


def practice_f1(parameters: Tensors, data: Tensors) -> Tensor:
    (weight, bias), (x, wanted) = parameters, data
    return f1(torch.sigmoid(x @ weight + bias), wanted)


# -- a histogram made to agree with another ----------------------------------------------------------------------------

EDGES = torch.linspace(-3.0, 3.0, 11)


def make_histogram(seed: int, count: int = 500) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x, y = torch.randn(count, generator=g), torch.randn(count, generator=g)
    target = -0.8 + 0.9 * y + 0.25 * y.square()
    return [torch.tensor([1.2, 0.5, 0.0])], [x, hard_counts(target)]


def hard_counts(x: Tensor) -> Tensor:
    return F.one_hot(torch.bucketize(x, EDGES), len(EDGES) + 1).float().mean(0)


def soft_counts(x: Tensor, width: float = 0.15) -> Tensor:
    below = torch.sigmoid((EDGES - x.unsqueeze(-1)) / width)  # (n, edges)
    ends = below.new_zeros(len(x), 1), below.new_ones(len(x), 1)
    return torch.cat([ends[0], below, ends[1]], -1).diff(dim=-1).mean(0)


def moved(parameters: Tensors, x: Tensor) -> Tensor:
    shift, scale, bend = parameters[0]
    return shift + scale * x + bend * x.square()


def hard_histogram(parameters: Tensors, data: Tensors) -> Tensor:
    return (hard_counts(moved(parameters, data[0])) - data[1]).abs().sum()


def practice_histogram(parameters: Tensors, data: Tensors) -> Tensor:
    return (soft_counts(moved(parameters, data[0])) - data[1]).square().sum().sqrt()


# -- dice of a mask that is closed by a dilation and an erosion --------------------------------------------------------


def make_dice(seed: int, size: int = 24) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    middle = torch.randint(8, size - 8, (6, 2, 1, 1), generator=g)
    mask = ((rows - middle[:, 0]).square() + (columns - middle[:, 1]).square() < 30).float().unsqueeze(1)
    image = mask + 0.9 * torch.randn(mask.shape, generator=g)
    return [0.1 * torch.randn(1, 1, 5, 5, generator=g), torch.tensor([-0.8])], [image, mask]


def closed(mask: Tensor) -> Tensor:
    return -F.max_pool2d(-F.max_pool2d(mask, 3, 1, 1), 3, 1, 1)


def hard_dice(parameters: Tensors, data: Tensors) -> Tensor:
    (kernel, bias), (image, wanted) = parameters, data
    return f1(closed((F.conv2d(image, kernel, bias, padding=2) > 0).float()), wanted)


def practice_dice(parameters: Tensors, data: Tensors) -> Tensor:
    (kernel, bias), (image, wanted) = parameters, data
    return f1(closed(torch.sigmoid(F.conv2d(image, kernel, bias, padding=2))), wanted)


# -- a net of leaky neurons that spike, whose counts follow a target ---------------------------------------------------


class FastSigmoid(torch.autograd.Function):
    """A step whose derivative is that of a fast sigmoid, as nets of spiking neurons are trained."""

    @staticmethod
    def forward(ctx, potential):
        ctx.save_for_backward(potential)
        return (potential > 0).float()

    @staticmethod
    def backward(ctx, gradient):
        (potential,) = ctx.saved_tensors
        return gradient / (1.0 + 5.0 * potential.abs()).square()


def make_spiking(seed: int, count: int = 24) -> tuple[Tensors, Tensors]:
    g = _draws(seed)
    x = torch.rand(count, 6, generator=g)
    wanted = torch.rand(6, 3, generator=g).softmax(0)
    return [0.25 * torch.randn(6, 16, generator=g), 0.3 * torch.randn(16, 3, generator=g)], [x, x @ wanted]


def spikes(parameters: Tensors, data: Tensors, step: object) -> Tensor:
    first, second = parameters
    x, wanted = data
    hidden, out, rates = x.new_zeros(len(x), 16), x.new_zeros(len(x), 3), 0.0
    for _ in range(12):
        hidden = 0.8 * hidden + x @ first
        fired = step(hidden - 1.0)
        hidden = hidden - fired
        out = 0.8 * out + fired @ second
        given = step(out - 1.0)
        out = out - given
        rates = rates + given / 12
    return (rates - wanted).square().mean() / wanted.var()


def hard_spiking(parameters: Tensors, data: Tensors) -> Tensor:
    return spikes(parameters, data, lambda potential: (potential > 0).float())


def practice_spiking(parameters: Tensors, data: Tensors) -> Tensor:
    return spikes(parameters, data, FastSigmoid.apply)


TASKS = (
    Task("rule box", make_box, hard_box, practice_box, rate=0.03),
    Task("F1", make_f1, hard_f1, practice_f1),
    Task("histogram", make_histogram, hard_histogram, practice_histogram, rate=0.02),
    Task("dice after closing", make_dice, hard_dice, practice_dice, rate=0.02),
    Task("spiking net", make_spiking, hard_spiking, practice_spiking, rate=0.03),
)
