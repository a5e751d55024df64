"""A call that is made once more with exchanged choices, so that what is not chosen learns of its own loss.

    gradient = gradient of the call + SHARE * gradient of the further run

The value is the call's own, bit for bit. A further run has some chosen places of each site exchanged with others
(softfx.interpreter.exchanging), and leaves no trace. What the linear derivative of the choice says of a weight that was
not chosen is its slope at the loss without it; here it learns beside what is chosen, and of its own effect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx import torch_private
from softfx.control.draws import Draws
from softfx.control.results import flatten, unflatten
from softfx.control.traceless import Traceless
from softfx.decisions.evidence import Evidence
from softfx.interpreter.records import Exchange
from softfx.ops.calls import Args, Function, Kwargs, Result

__all__ = ["SHARE", "ExchangedRuns", "gives_number"]

# Weights that are chosen learn of both runs, the others of this one alone: the less it counts, the less is learned to
# be good beside others, and steps of Adam are as long for either. At 0.1 and 1 choices train worse.
SHARE = 0.5

_TRANSFORMED = "inside torch.func transforms a call has no further run with exchanged choices"


def gives_number(result: Result) -> bool:
    """Return True if all of a result that has a derivative is single numbers, as a loss is.

    >>> gives_number({"loss": torch.ones((), requires_grad=True), "logits": torch.ones(3)})
    True
    """
    carrying = list(filter(_carries, torch_private.leaves(result)))
    return bool(carrying) and all(leaf.numel() == 1 for leaf in carrying)


class ExchangedRuns:
    """Makes one call by two runs.

    once, again: make a run of function, args, kwargs and owner; the call itself, and a further one with an `exchange`.
    """

    def __init__(self, once: Callable[..., Result], again: Callable[..., Result], evidence: Evidence, draws: Draws):
        self._once, self._again, self._evidence, self._draws = once, again, evidence, draws

    def call(self, root: object, function: Function, args: Args, kwargs: Kwargs, owner: object) -> Result:
        """The result of the call, with the derivative of both runs."""
        if torch_private.in_transform():
            self._evidence.exchanges[_TRANSFORMED] = None
            return self._once(function, args, kwargs, owner)
        traceless = Traceless(root, function, args, kwargs, draws=True)
        result = self._once(function, args, kwargs, owner)
        traceless.first_run_ended()
        leaves, structure = flatten(result)
        if not any(map(_carries, leaves)):
            return result
        with traceless.further():
            others = self._others(function, *traceless.from_the_start(), owner)
        if others is None or len(others) != len(leaves):
            return result
        return unflatten([_with_share(leaf, other) for leaf, other in zip(leaves, others, strict=True)], structure)

    def _others(self, function: Function, args: Args, kwargs: Kwargs, owner: object) -> list[Any] | None:
        """The leaves of the result of a further run; None where it exchanged nothing, or gave no result."""
        exchange = Exchange(self._draws.next(None).bits())
        try:
            result = self._again(function, args, kwargs, owner, exchange=exchange)
        except Exception as error:  # an exchanged choice may lead a program to where it refuses its numbers
            self._evidence.exchanges[f"a further run with an exchanged choice raised {type(error).__name__}"] = None
            return None
        return list(flatten(result)[0]) if exchange.made else None


def _with_share(leaf: Any, other: Any) -> Any:
    """A leaf of the result with the derivative of the further run beside its own."""
    if not (_carries(leaf) and _carries(other)) or leaf.shape != other.shape or leaf.dtype != other.dtype:
        return leaf
    if not bool((leaf.detach().isfinite() & other.detach().isfinite()).all()):
        return leaf
    return softtorch.straight_through(leaf.detach(), torch.add(leaf, other, alpha=SHARE))


def _carries(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.requires_grad
