"""What a site says of a NaN, or of a tie: the program's own answer, where the soft one is no number, or no answer.

The sign of a NaN is 0, and a comparison with one False. Under a policy that changes values every soft answer is settled
so. Where derivatives alone count it would be a step for nothing at most calls: it is made at those that met such
operands when they were planned, or their softness was measured. There a real number that is not settled has the
derivative that the program's own call gives it, as a quantile of a NaN has, or an element that a mask leaves as it is.
Numbers lie on a jump in whole regions of the inputs where the program has made them of choices, counts or clipped
numbers; there a soft value that is half of either answer is settled, too.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from softfx import ops, torch_private
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext
from softfx.interpreter.native import repeat
from softfx.interpreter.state import RunState
from softfx.ops.calls import Args, Kwargs, Result
from softfx.ops.spelling import arguments
from softfx.ops.trees import map_tensors
from softfx.rules.refusals import is_discrete
from softfx.rules.rule import Rule
from softfx.runtime import distributions, guards, infinities, ties
from softfx.runtime.elements import has_strides
from softfx.values import Soft, SoftBool, SoftCount, SoftIndex, SoftSum, is_stepped, was_freed

__all__ = ["has_met_nan", "is_seen_finite", "is_spoilt", "settled", "settled_at_ties", "with_finite_gradients"]

# Operations whose real result is a number where an operand is NaN, as the bool of a comparison is.
_FINITE_OF_NAN = frozenset({ops.sign, ops.heaviside, ops.histc})
# Those whose safe forms give the number at the edge beyond it: what is relaxed may leave a domain, where the original
# does not. Where that is NaN, so is the result.
_FILLED_BEYOND = frozenset({ops.sqrt, ops.log, ops.asin, ops.acos})


def settled(context: CallContext, call: Call, shadow: Result) -> Result:
    """The shadow of a hard result, with what the program makes of it where the shadow is infinite or NaN."""
    if not context.exact:
        return _settled(context, call, context.hard, shadow, None) if call.is_site else shadow
    if not is_spoilt(context.state, call, shadow):
        return shadow
    return _settled(context, call, context.hard, shadow, _with_own_derivative(context, call))


def is_spoilt(state: RunState, call: Call, shadow: Result) -> bool:
    """Return True for a call whose shadow was infinite or NaN when it was planned, or its softness measured."""
    evidence = state.evidence
    if (state.planning or state.measures is not None) and not is_seen_finite(shadow):
        evidence.spoilt.add((call.name, call.location))
    return has_met_nan(state, call)


def has_met_nan(state: RunState, call: Call) -> bool:
    """Return True for a call whose shadow was infinite or NaN before."""
    spoilt = state.evidence.spoilt
    return bool(spoilt) and (call.name, call.location) in spoilt


def with_finite_gradients(state: RunState, arguments: tuple[Args, Kwargs]) -> tuple[Args, Kwargs]:
    """Arguments to which only finite gradients go back."""

    def passing(tensor: Tensor) -> Tensor:
        if is_discrete(tensor) or not has_strides(tensor):
            return tensor
        passed: Tensor = state.backend.emit(guards.passing_finite, (tensor,), {})
        return passed

    args, kwargs = map_tensors(passing, arguments)
    return args, kwargs


def _with_own_derivative(context: CallContext, call: Call) -> Result:
    """The hard result with the program's own derivative; None of a guard, which is there in its place, and of draws."""
    is_guarded = call.is_site and call.rule is not None and call.rule.family == "unsafe"
    if is_guarded or not call.operation.repeatable:
        return None
    args, kwargs = with_finite_gradients(context.state, (call.args, call.kwargs))
    return repeat(context.state, replace(call, args=args, kwargs=kwargs))


def _settled(context: CallContext, call: Call, hard: Result, shadow: Result, own: Result) -> Result:
    """The same leaf by leaf. own: the hard result with the program's own derivative, where that counts."""
    if isinstance(hard, Tensor):
        return _leaf(context, call, hard, shadow, own)
    if not isinstance(shadow, tuple | list) or len(shadow) != len(hard):
        return shadow
    owns = [None] * len(hard) if own is None else own
    return [_settled(context, call, *leaves) for leaves in zip(hard, shadow, owns, strict=True)]


def _leaf(context: CallContext, call: Call, hard: Tensor, shadow: Result, own: Tensor | None) -> Result:
    if isinstance(shadow, Tensor) and own is not None and not is_discrete(hard):
        return context.call(infinities.or_hard, shadow, own)
    if isinstance(shadow, Tensor) and not context.exact and call.is_site and call.operation in _FILLED_BEYOND:
        return context.call(infinities.with_nan, shadow, hard)
    finite = call.operation in _FINITE_OF_NAN or is_discrete(hard) or isinstance(shadow, SoftBool)  # x.gt_(0)
    if not call.is_site or not finite or isinstance(shadow, SoftSum):  # whose terms are finite
        return shadow
    if isinstance(shadow, Tensor):
        return context.call(distributions.settled, shadow, hard)
    if not isinstance(shadow, Soft):
        return shadow
    value = shadow.hardened(context.call, hard)
    return shadow.with_tensor(context.call(distributions.settled, shadow.tensor, value))


def is_seen_finite(shadow: Result) -> bool:
    """Return True if no infinity and no NaN is seen in a shadow."""
    if isinstance(shadow, tuple | list):
        return all(map(is_seen_finite, shadow))
    tensor = shadow.tensor if isinstance(shadow, Soft) and not isinstance(shadow, SoftSum) else shadow
    if not isinstance(tensor, Tensor) or type(tensor) not in (Tensor, nn.Parameter):
        return True  # the shards of several processes are not looked into: that would take them all
    if tensor.is_meta or torch_private.in_transform() or was_freed(tensor) or not has_strides(tensor):
        return True
    tensor = tensor.detach()
    if tensor.is_floating_point() and tensor.dtype.itemsize == 1:  # torch has no isfinite of each of these types
        if tensor.dtype is torch.float4_e2m1fn_x2:  # which has neither
            return True
        tensor = tensor.float()
    return bool(torch.isfinite(tensor).all())


def settled_at_ties(context: CallContext, call: Call, shadow: Result) -> Result:
    """The shadow of a site under a policy that changes values, with the hard result where its operands are tied.

    call: on the operands that it has in the original.
    """
    rule = call.rule
    if context.exact or rule is None or not call.is_site or not (rule.ties or rule.tied_places):
        return shadow
    if call.softs and not (rule.tied_places and all(isinstance(soft, SoftCount) for soft in call.softs)):
        return shadow
    if not (_are_alike(context.state, call) or any(map(is_stepped, call.facts))):
        return shadow
    args, kwargs = arguments(call.spelled, call.args, call.kwargs)
    if rule.ties is None:
        return _at_tied_places(context, rule, args, kwargs, shadow)
    tied = context.call(rule.ties, *args, **kwargs)
    if isinstance(shadow, Soft):
        return shadow.with_tensor(context.call(ties.settled, shadow.tensor, context.hard, tied))
    return context.call(ties.settled, shadow, context.hard, tied)  # rounded to decimals


def _at_tied_places(context: CallContext, rule: Rule, args: Args, kwargs: Kwargs, shadow: Result) -> Result:
    """A soft index with the program's place where several tie, and values, which are the same at each, as they are."""
    if isinstance(shadow, tuple | list):
        return [_at_tied_places(context, rule, args, kwargs, leaf) for leaf in shadow]
    if not isinstance(shadow, SoftIndex):
        return shadow
    assert rule.tied_places is not None  # the caller has seen to it
    place = context.call(rule.tied_places, *args, **kwargs)
    return shadow.with_tensor(context.call(ties.settled_place, shadow.weights, place))


def _are_alike(state: RunState, call: Call) -> bool:
    """Return True if two of the operands begin at one place of memory, or one is a copy of the other.

    How tensors were copied is followed while a call is planned; later ones are told where that has mattered.
    """
    keys = [torch_private.storage_key(tensor) for tensor in call.tensors]
    places = [(key, tensor.storage_offset()) for key, tensor in zip(keys, call.tensors, strict=True) if key is not None]
    if len(set(places)) < len(places):
        return True
    here = (call.name, call.location)
    if state.planning:
        moved = map(state.moved.get, call.tensors)
        origins = [
            key if m is None else torch_private.storage_key(m.source) for key, m in zip(keys, moved, strict=True)
        ]
        known = [key for key in origins if key is not None]
        if len(set(keys)) == len(keys) and len(set(known)) < len(known):
            state.evidence.copies.add(here)
    return bool(state.evidence.copies) and here in state.evidence.copies
