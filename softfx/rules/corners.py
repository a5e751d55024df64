"""Operations whose corners are those of simpler ones: absolute losses, a randomized slope, both extremes at once.

Order statistics that pass over NaN have no relaxation, for how many numbers a row holds is not known beforehand; they
are told. To add one, append a record to RULES.
"""

from __future__ import annotations

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.rules.axiswise import LARGEST, SMALLEST, VALUES_OPTIONS
from softfx.rules.context import RuleContext, Shadow
from softfx.rules.readings import through_real
from softfx.rules.refusals import CannotSoften, refuse_discrete
from softfx.rules.rule import Rule
from softfx.rules.units import CHOICE, MARGINS, OPERAND

__all__ = ["RULES"]

_CORNER = "Differentiable almost everywhere; its derivative jumps where two of its numbers are equal."
_KEEP = "Usually keep it: optimisers cope with corners; soften it where second derivatives matter."


def _l1_loss(
    context: RuleContext, input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    if size_average is not None or reduce is not None or weight is not None:
        raise CannotSoften("l1_loss with weights, or with the arguments that `reduction` replaces, has no rule")
    distance = context.call(softtorch.abs, context.call(torch.sub, input, target), **context.options)
    reductions = {"mean": torch.mean, "sum": torch.sum}
    return distance if reduction == "none" else context.call(reductions[reduction], distance)


def _rrelu(
    context: RuleContext, input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
) -> Tensor:
    if training:
        raise CannotSoften("rrelu draws its slopes in training")
    refuse_discrete(input)
    return context.call(softtorch.leaky_relu, input, (lower + upper) / 2, **context.options)


def _aminmax(context: RuleContext, input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Shadow:
    refuse_discrete(input)
    if dim is not None:
        low, high = (context.call(f, input, dim=dim, keepdim=keepdim, **context.options)[0] for f in _EXTREMES)
        return low, high
    flat = context.call(torch.flatten, input)
    shape = (1,) * input.dim() if keepdim else ()
    low, high = (context.call(f, flat, dim=0, **context.options)[0] for f in _EXTREMES)
    return context.call(torch.reshape, low, shape), context.call(torch.reshape, high, shape)


_EXTREMES = (softtorch.min, softtorch.max)

RULES = (
    Rule("SX151", ops.l1_loss, "kink", _CORNER, _KEEP, "", soft="softtorch.abs",
         formula="|x - y|, |.| soft, of each element before the reduction",
         relax=_l1_loss, propagate=through_real(_l1_loss), drop_in=True, unit=MARGINS),
    Rule("SX152", ops.rrelu, "kink", _CORNER, _KEEP, "",
         formula="a x + (1 - a) relu(x), a the mean slope, relu soft", soft="softtorch.leaky_relu",
         relax=_rrelu, propagate=through_real(_rrelu), options=("softness", "mode", "gated"), drop_in=True,
         unit=OPERAND),
    Rule("SX223", ops.aminmax, "kink", _CORNER, _KEEP, "",
         formula=f"max: sum_j p_j x_j, {LARGEST}; min: sum_j p_j x_j, {SMALLEST}",
         soft="softtorch.max", relax=_aminmax, propagate=through_real(_aminmax), options=VALUES_OPTIONS,
         unit=CHOICE),
    Rule("SX224", ops.nanquantile, "discrete",
         "Which elements are chosen carries no gradient: others never learn that they nearly were.",
         "Keep it in metrics. On rows that hold no NaN, quantile has a soft form.", "", options=()),
)  # fmt: skip
