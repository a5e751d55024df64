"""scope = "linear": real numbers have soft companions as far as calls are linear in them, and no further.

The mean of what is linear in a choice is that of the soft choice, so behind a mask, a product with weights and a sum
the derivative is that of the whole soft program, and a weight that was not chosen learns. Behind a call that bends, a
loss above all, it is not: there the derivative is taken at the hard value, which is the one that is to become good. A
product of two numbers that both have companions bends, too, but for two look-ups by one choice (joint_lookups). What
bends and treats each chosen place by itself is linear in the choice all the same (chosen_places).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from softfx.interpreter import joint_lookups
from softfx.interpreter.binding import runs_on, runs_while_linear
from softfx.interpreter.call import Call
from softfx.interpreter.state import RunState
from softfx.ops.operation import Linear
from softfx.ops.spelling import arguments

__all__ = ["bends", "ended"]


def bends(state: RunState, call: Call) -> bool:
    """Return True for a call that is not linear in those of its operands that have real shadows."""
    running = [tensor for tensor, facts in zip(call.tensors, call.facts, strict=True) if runs_on(state, facts.soft)]
    return bool(running) and not _is_linear_in(state, call, running)


def ended(state: RunState, call: Call) -> Call:
    """A call with real shadows, without those that end at it."""
    ending = [facts.soft is not None and runs_while_linear(state, facts.soft) for facts in call.facts]
    running = [tensor for tensor, ends in zip(call.tensors, ending, strict=True) if ends]
    if not running or _is_linear_in(state, call, running):
        return call
    facts = [replace(own, soft=None) if ends else own for own, ends in zip(call.facts, ending, strict=True)]
    return replace(call, facts=facts, ends=True)


def _is_linear_in(state: RunState, call: Call, running: list[Tensor]) -> bool:
    """Return True if a call is linear in these of its tensors together."""
    if call.rule is not None and call.rule.moves and not call.is_site:
        return True
    operation = call.operation
    if operation.linear is Linear.JOINTLY:
        return True
    if operation.linear is Linear.FIRST:
        operands, _ = arguments(call.spelled, call.args, call.kwargs)
        return len(running) == 1 and operands[0] is running[0]
    return operation.is_multilinear and (len(running) == 1 or joint_lookups.meet(state, call))
