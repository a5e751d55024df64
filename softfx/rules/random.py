"""Random draws whose parameters are learned: named in a policy, never touched by default.

Straight-through, the program's own draw stays and takes the derivative of the probabilities that it was drawn with.
Soft, a relaxed draw with noise of its own stands in its place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import through_real
from softfx.runtime import draws

__all__ = ["RULES"]

_WHY = "A draw is a discrete choice: the parameters it was drawn with receive no gradient."
_KEEP = "Keep it where the noise is wanted as noise, or where a score-function estimator trains it."


def _multinomial(
    context: RuleContext, input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Any:
    if context.exact:
        return context.soft(context.call(draws.drawn_from, input, context.hard, replacement), "soft_index")
    value = context.call(softtorch.multinomial, input, num_samples, replacement, generator=generator, **context.options)
    return context.soft(value, "soft_index")


def _bernoulli(context: RuleContext, input: Any, p: Any = None, *, generator: Any = None) -> Any:
    if p is not None and not isinstance(p, Tensor):
        raise Cut("it draws with a probability that is a constant")
    chance = input if p is None else p
    if not context.exact:
        chance = context.call(softtorch.bernoulli, chance, generator=generator, **context.options)
    return context.call(torch.Tensor.expand_as, chance, context.hard) if p is not None else chance


RULES = (
    Rule(
        "SX801",
        "multinomial",
        "random",
        _WHY,
        _KEEP,
        "Kool et al. 2019, arXiv 1903.06059; arXiv 1308.3432 for straight-through",
        soft="softtorch.multinomial",
        relax=_multinomial,
        carry=through_real(_multinomial),
    ),
    Rule(
        "SX802",
        "bernoulli",
        "random",
        _WHY,
        _KEEP,
        "Maddison et al. 2017, arXiv 1611.00712; arXiv 1308.3432 for straight-through",
        soft="softtorch.bernoulli",
        relax=_bernoulli,
        carry=through_real(_bernoulli),
        drop_in=True,
    ),
)
