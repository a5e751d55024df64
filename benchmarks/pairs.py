"""Ten metrics, losses and quantizers at tiny sizes, each as torch code and as its author would write it in softtorch.

`PAIRS` has the program, the one by hand, and what makes their inputs. Both are straight-through: the values of the
program, a derivative where it has none. Of the inputs those in a floating type require a gradient, but for targets,
which are integers or bools.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

import softtorch
from softtorch import straight_through

__all__ = ["PAIRS", "Pair"]

SOFTNESS = 0.1


class Pair(NamedTuple):
    """A program and the same by hand, and its inputs."""

    program: Callable[..., Tensor]
    by_hand: Callable[..., Tensor]
    inputs: Callable[[], tuple[Tensor, ...]]


def _above(x: Tensor, threshold: Tensor | float) -> Tensor:
    return straight_through((x > threshold).float(), softtorch.greater(x, threshold, softness=SOFTNESS))


def _scores() -> tuple[Tensor, Tensor]:
    return torch.rand(20), torch.arange(20) % 3 == 0


def _f1(chosen: Tensor, target: Tensor) -> Tensor:
    hits, wrong, missed = (chosen * target).sum(), (chosen * ~target).sum(), ((1 - chosen) * target).sum()
    return 2 * hits / (2 * hits + wrong + missed)


def f1(scores: Tensor, target: Tensor) -> Tensor:
    return _f1((scores > 0.5).float(), target)


def f1_by_hand(scores: Tensor, target: Tensor) -> Tensor:
    return _f1(_above(scores, 0.5), target)


def _accuracy(chosen: Tensor, target: Tensor) -> Tensor:
    hits = (chosen * target).sum(0)
    return (2 * hits / (chosen.sum(0) + target.sum(0))).mean()


def multiclass_f1(scores: Tensor, target: Tensor) -> Tensor:
    return _accuracy(F.one_hot(scores.argmax(-1), 4).float(), target)


def multiclass_f1_by_hand(scores: Tensor, target: Tensor) -> Tensor:
    return _accuracy(softtorch.argmax_st(scores, -1, softness=SOFTNESS), target)


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    x, y = x - x.mean(), y - y.mean()
    return (x * y).mean() / (x.square().mean() * y.square().mean()).sqrt()


def spearman(x: Tensor, y: Tensor) -> Tensor:
    return _correlation(x.argsort().argsort().float(), y.argsort().argsort().float())


def spearman_by_hand(x: Tensor, y: Tensor) -> Tensor:
    ranks = [
        straight_through(v.argsort().argsort().float(), softtorch.rank(v, softness=SOFTNESS, method="lapsum"))
        for v in (x, y)
    ]
    return _correlation(*ranks)


def average_precision(scores: Tensor, target: Tensor) -> Tensor:
    hits = target.float()[scores.argsort(descending=True)]
    return (hits * hits.cumsum(0) / torch.arange(1, 21)).sum() / target.sum()


def average_precision_by_hand(scores: Tensor, target: Tensor) -> Tensor:
    order = softtorch.argsort_st(scores, descending=True, softness=SOFTNESS, method="lapsum")
    hits = order @ target.float()
    return (hits * hits.cumsum(0) / torch.arange(1, 21)).sum() / target.sum()


def ranked_gain(scores: Tensor, target: Tensor) -> Tensor:
    gain = target.float()[scores.topk(5).indices]
    return (gain / torch.arange(2, 7).log2()).sum()


def ranked_gain_by_hand(scores: Tensor, target: Tensor) -> Tensor:
    gain = softtorch.topk_st(scores, 5, softness=SOFTNESS, method="lapsum")[1] @ target.float()
    return (gain / torch.arange(2, 7).log2()).sum()


def _area(chosen: Tensor, target: Tensor) -> Tensor:
    found, false = (chosen * target).sum(-1) / target.sum(), (chosen * ~target).sum(-1) / (~target).sum()
    return -torch.trapezoid(found, false)


def binned_auroc(scores: Tensor, target: Tensor) -> Tensor:
    return _area((scores > torch.linspace(0, 1, 5)[:, None]).float(), target)


def binned_auroc_by_hand(scores: Tensor, target: Tensor) -> Tensor:
    return _area(_above(scores, torch.linspace(0, 1, 5)[:, None]), target)


def pair_loss(scores: Tensor, target: Tensor) -> Tensor:
    wrong = (scores[:, None] - scores > 0) & (~target[:, None] & target)
    return wrong.float().mean()


def pair_loss_by_hand(scores: Tensor, target: Tensor) -> Tensor:
    return (_above(scores[:, None] - scores, 0.0) * (~target[:, None] & target)).mean()


def nearest_code(x: Tensor, codes: Tensor) -> Tensor:
    return codes[torch.cdist(x, codes).argmin(-1)]


def nearest_code_by_hand(x: Tensor, codes: Tensor) -> Tensor:
    return softtorch.argmin_st(torch.cdist(x, codes), -1, softness=SOFTNESS) @ codes


def learned_steps(x: Tensor, step: Tensor) -> Tensor:
    return (x / step).clamp(-8, 7).round() * step


def learned_steps_by_hand(x: Tensor, step: Tensor) -> Tensor:
    return softtorch.round_st((x / step).clamp(-8, 7), softness=SOFTNESS) * step


def finite_levels(x: Tensor) -> Tensor:
    return (torch.tanh(x) * 3.5).round() / 3.5


def finite_levels_by_hand(x: Tensor) -> Tensor:
    return softtorch.round_st(torch.tanh(x) * 3.5, softness=SOFTNESS) / 3.5


PAIRS = {
    "F1": Pair(f1, f1_by_hand, _scores),
    "multiclass F1": Pair(
        multiclass_f1, multiclass_f1_by_hand, lambda: (torch.rand(12, 4), F.one_hot(torch.arange(12) % 4))
    ),
    "Spearman": Pair(spearman, spearman_by_hand, lambda: (torch.randn(10), torch.randn(10))),
    "average precision": Pair(average_precision, average_precision_by_hand, _scores),
    "discounted gain": Pair(ranked_gain, ranked_gain_by_hand, _scores),
    "binned AUROC": Pair(binned_auroc, binned_auroc_by_hand, _scores),
    "pairs in the wrong order": Pair(pair_loss, pair_loss_by_hand, _scores),
    "nearest code": Pair(nearest_code, nearest_code_by_hand, lambda: (torch.randn(10, 8), torch.randn(16, 8))),
    "learned step size": Pair(learned_steps, learned_steps_by_hand, lambda: (torch.randn(4, 8), torch.tensor(0.3))),
    "finite levels": Pair(finite_levels, finite_levels_by_hand, lambda: (torch.randn(10, 4),)),
}
