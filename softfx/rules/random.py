"""Random draws whose parameters are learned: named in a policy, never touched by default.

Straight-through, the program's own draw stays and takes the derivative of the probabilities that it was drawn with.
Soft, a relaxed draw with noise of its own stands in its place. To add one, write its relaxation and append its record
to RULES.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.operation import Operation
from softfx.rules.context import RuleContext, RuleFunction, Shadow
from softfx.rules.estimators import reinmax
from softfx.rules.readings import through_real
from softfx.rules.refusals import CannotSoften
from softfx.rules.rule import Estimate, Rule
from softfx.runtime import draws

__all__ = ["RULES"]


def _multinomial(
    context: RuleContext, input: Tensor, num_samples: int, replacement: bool = False, *,
    generator: torch.Generator | None = None,
) -> Shadow:  # fmt: skip
    if context.exact:
        return context.soft_index(context.call(draws.drawn_from, input, context.hard, replacement))
    value = context.call(softtorch.multinomial, input, num_samples, replacement, generator=generator, **context.options)
    return context.soft_index(value)


def _bernoulli(
    context: RuleContext, input: Tensor, p: Tensor | float | None = None, *, generator: torch.Generator | None = None
) -> Tensor:
    if p is not None and not isinstance(p, Tensor):
        raise CannotSoften("it draws with a probability that is a constant")
    probability = input if p is None else p
    if not context.exact:
        probability = context.call(softtorch.bernoulli, probability, generator=generator, **context.options)
    return context.call(torch.Tensor.expand_as, probability, context.hard) if p is not None else probability


def _rule(
    code: str, operation: Operation, relax: RuleFunction, source: str, formula: str, *,
    estimators: Mapping[str, Estimate] | None = None, drop_in: bool = False,
) -> Rule:  # fmt: skip
    """The record of a random draw."""
    return Rule(
        code,
        operation,
        "random",
        "A draw is a discrete choice: the parameters it was drawn with receive no gradient.",
        "Keep it where the noise is wanted as noise, or where a score-function estimator trains it.",
        f"{source}; arXiv 1308.3432 for straight-through",
        formula=formula,
        soft=f"softtorch.{operation.name}",
        relax=relax,
        propagate=through_real(relax),
        estimators=estimators or {},
        drop_in=drop_in,
    )


RULES = (
    _rule(
        "SX801",
        ops.multinomial,
        _multinomial,
        "Kool et al. 2019, arXiv 1903.06059",
        "straight-through: the derivative of p_j / sum_l p_l, over those left where none is drawn twice; "
        "soft, with replacement: softmax_j(y_j / s), y_j = log(p_j) + g_j, g Gumbel noise; without: P_ij = "
        "softmax_j(((n + 1 - 2 i) y_j - sum_l |y_j - y_l|) / s), |.| soft",
        estimators={"reinmax": reinmax},
    ),
    _rule(
        "SX802",
        ops.bernoulli,
        _bernoulli,
        "Maddison et al. 2017, arXiv 1611.00712",
        "straight-through: the derivative of p; soft: sigma((log(p) - log(1 - p) + g) / s), g logistic noise",
        drop_in=True,
    ),
)
