"""What a site says of a NaN, or of a tie: the program's own answer, where the soft one is no number, or no answer.

The sign of a NaN is 0, and a comparison with one False. Under a policy that changes values every soft answer is settled
so. Where derivatives alone count it would be a step for nothing at most sites: it is made at those that met such
operands as their softness was measured. Numbers lie on a jump in whole regions of the inputs where the program has made
them of choices, counts or clipped numbers; there a soft value that is half of either answer is settled, too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from softfx import ops, torch_private
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext
from softfx.ops.calls import Result
from softfx.ops.spelling import arguments
from softfx.rules.refusals import is_discrete
from softfx.runtime import distributions, infinities, ties
from softfx.values import Soft, SoftSum, is_stepped

__all__ = ["settled", "settled_at_ties"]

# Operations whose real result is a number where an operand is NaN, as the bool of a comparison is.
_FINITE_OF_NAN = frozenset({ops.sign, ops.heaviside, ops.histc})


def settled(context: CallContext, call: Call, shadow: Result) -> Result:
    """The shadow of a site's hard result, with that result where the shadow is infinite or NaN."""
    evidence, hard = context.state.evidence, context.hard
    if not call.is_site:
        return shadow
    if context.exact:
        if context.state.measures is not None and not _is_finite(shadow):
            evidence.spoilt.add((call.name, call.location))
        if not evidence.spoilt or (call.name, call.location) not in evidence.spoilt:
            return shadow
    if isinstance(hard, Tensor):
        return _leaf(context, hard, shadow, call.operation in _FINITE_OF_NAN)
    if not isinstance(shadow, tuple | list) or len(shadow) != len(hard):
        return shadow
    return [_element(context, one, other) for one, other in zip(hard, shadow, strict=True)]


def _element(context: CallContext, hard: Tensor, shadow: Result) -> Result:
    """The same of one of several results. Elements along an axis have a derivative of their own beside a NaN."""
    if context.exact and isinstance(shadow, Tensor) and not is_discrete(hard):
        return context.call(infinities.or_hard, shadow, hard)
    return _leaf(context, hard, shadow, False)


def _leaf(context: CallContext, hard: Tensor, shadow: Result, reals: bool) -> Result:
    """The same of one result. reals: also of one that is a real number."""
    if not (reals or is_discrete(hard)) or isinstance(shadow, SoftSum):  # the terms of a sum are finite
        return shadow
    if isinstance(shadow, Tensor):
        return context.call(distributions.settled, shadow, hard)
    if not isinstance(shadow, Soft):
        return shadow
    value = shadow.hardened(context.call, hard)
    return shadow.with_tensor(context.call(distributions.settled, shadow.tensor, value))


def _is_finite(shadow: Result) -> bool:
    """Return True if no infinity and no NaN is seen in a shadow."""
    if isinstance(shadow, tuple | list):
        return all(map(_is_finite, shadow))
    tensor = shadow.tensor if isinstance(shadow, Soft) and not isinstance(shadow, SoftSum) else shadow
    if not isinstance(tensor, Tensor) or tensor.is_meta or torch_private.in_transform():
        return True
    return bool(torch.isfinite(tensor.detach()).all())


def settled_at_ties(context: CallContext, call: Call, shadow: Result) -> Result:
    """The shadow of a site under a policy that changes values, with the hard result where its operands are tied.

    call: on the operands that it has in the original.
    """
    rule = call.rule
    if context.exact or rule is None or rule.ties is None or call.softs or not call.is_site:
        return shadow
    if not (_are_alike(call.tensors) or any(map(is_stepped, call.facts))):
        return shadow
    args, kwargs = arguments(call.spelled, call.args, call.kwargs)
    tied = context.call(rule.ties, *args, **kwargs)
    if isinstance(shadow, Soft):
        return shadow.with_tensor(context.call(ties.settled, shadow.tensor, context.hard, tied))
    return context.call(ties.settled, shadow, context.hard, tied)  # rounded to decimals


def _are_alike(tensors: list[Tensor]) -> bool:
    """Return True if two of the tensors begin at one place of memory, as where all pairs of elements are compared."""
    keys = [(torch_private.storage_key(tensor), tensor) for tensor in tensors]
    places = [(key, tensor.storage_offset()) for key, tensor in keys if key is not None]
    return len(set(places)) < len(places)
