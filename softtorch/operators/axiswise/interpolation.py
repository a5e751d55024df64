"""The two places that a quantile lies between, and their mixture: torch.quantile's five rules.

To add a rule: one line in the table. A rule sees the place q (n - 1) as a number or as a tensor of q's shape.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softtorch.errors import OptionError, ShapeError, message, nearest, of_type
from softtorch.methods.positions import Neighbours


class _Rounding(NamedTuple):
    """Three roundings to a whole number, for numbers or for tensors."""

    down: Callable[[Any], Any]
    up: Callable[[Any], Any]
    even: Callable[[Any], Any]


_NUMBERS = _Rounding(math.floor, math.ceil, round)
_TENSORS = _Rounding(torch.floor, torch.ceil, torch.round)

# place, rounding -> lower place, upper place, weight of the upper; one place alone where no mixing is meant.
RULES: dict[str, Callable[[Any, _Rounding], tuple[Any, ...]]] = {
    "linear": lambda place, to: (to.down(place), to.up(place), place - to.down(place)),
    "lower": lambda place, to: (to.down(place),),
    "higher": lambda place, to: (to.up(place),),
    "midpoint": lambda place, to: (to.down(place), to.up(place), 0.5 * (to.up(place) - to.down(place))),
    "nearest": lambda place, to: (to.even(place),),
}
"""The interpolations by name."""


@dataclass(frozen=True)
class Between:
    """The places of one quantile or of Q quantiles."""

    positions: Neighbours
    """the lower places and then, when mixing, the upper ones: 1 or 2 for a single q, Q or 2Q for a vector"""
    weight: Tensor | None
    """of the upper place, 0-dim or (Q,); None without mixing"""
    leading: bool
    """whether q is a vector, whose axis comes first in the result"""


def check_q(where: str, q: Tensor | float, name: str = "q", top: float = 1.0) -> None:
    """q is a number in [0, top], or a floating tensor, 0-dim or (Q,), whose contents are not looked at."""
    if isinstance(q, Tensor):
        if not q.dtype.is_floating_point:
            raise OptionError(message(where, f"{name} is a tensor of dtype {q.dtype}", "Use a floating dtype"))
        if q.ndim > 1:
            raise ShapeError(message(where, f"{name} has shape {tuple(q.shape)}", "Use a 0-dim or 1-dim tensor"))
        return
    if not isinstance(q, int | float) or isinstance(q, bool):
        raise OptionError(message(where, of_type(name, q), "Use a number or a tensor"))
    if not 0 <= q <= top:
        raise OptionError(message(where, f"{name}={q} is out of range", f"Use 0 <= {name} <= {top:g}"))


def check_interpolation(where: str, interpolation: str) -> None:
    """The interpolation is one of torch's."""
    if interpolation not in RULES:
        wrong = f"unknown interpolation {interpolation!r}"
        legal = f"Interpolations: {', '.join(RULES)}"
        raise OptionError(message(where, wrong, legal, nearest(interpolation, RULES)))


def between(q: Tensor | float, n: int, interpolation: str, like: Tensor, dedupe: bool) -> Between:
    """The two places between which quantile q of n entries lies, and the weight of the upper one.

    Args:
        q: in [0, 1], a number or a tensor, 0-dim or (Q,).
        n: how many entries there are.
        interpolation: one of torch's rules.
        like: a tensor of the dtype and device computed in; torch rounds q to that dtype before all else.
        dedupe: take a place once when the upper one would get no weight.
    """
    rule = RULES[interpolation]
    if not isinstance(q, Tensor):
        q = _rounded(float(q), like.dtype)
        low, *rest = rule(_rounded(q * (n - 1), like.dtype), _NUMBERS)
        chosen = (low,) if not rest or (dedupe and rest[1] == 0) else (low, rest[0])
        places = Neighbours(chosen, (low,), (not 0 < q < 1,), bool(rest))
        return Between(places, like.new_full((), rest[1]) if len(chosen) == 2 else None, False)
    q = q.to(dtype=like.dtype, device=like.device)
    low, *rest = rule(q * (n - 1), _TENSORS)
    spots = [spot.detach().reshape(-1).long().clamp(0, n - 1) for spot in (low, *rest[:1])]
    ends = ((q <= 0) | (q >= 1)).reshape(-1)
    places = Neighbours(torch.cat(spots), spots[0], ends, bool(rest))
    return Between(places, rest[1] if rest else None, q.ndim == 1)


def _rounded(number: float, dtype: torch.dtype) -> float:
    """`number` rounded to float32 where that is the dtype: Dekker's splitting, with no tensor to be traced."""
    if dtype != torch.float32:
        return number
    wide = number * (2.0**29 + 1.0)
    return wide - (wide - number)
