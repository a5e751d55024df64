"""Comparisons of numbers that a condition reads at once: a light run gives the answer of that read itself.

Nothing but the jump behind it sees what such a comparison gives. So no tensor is made of it: where the answer is given
already none of it is computed, and elsewhere two numbers are compared, which takes less time than torch's own call.
Each function here is made for one run, and called at each comparison of it: what it looks up is as near as can be.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Parameter

from softfx.control.provenance import Margin, two_numbers
from softfx.control.versions_private import nothing_around, untold
from softfx.interpreter.host import PLACE
from softfx.ops.calls import Function

if TYPE_CHECKING:
    from softfx.control.light import Light
    from softfx.control.path import Answer

__all__ = ["Comparing", "comparing", "deciding"]

Order = Callable[[Any, Any], bool]
# Of a function, torch's own one in its place, the same of numbers, two operands, and the frame that compares.
Comparing = Callable[[Function, Function, Order, Any, Any, FrameType], Any]

_UNKNOWN: Any = ()
_TENSORS = frozenset({Tensor, Parameter})
_OPERANDS = frozenset({Tensor, Parameter, float, int})
# The sign with which the first number speaks for a comparison.
_SIGNS: dict[Order, int] = {operator.lt: -1, operator.le: -1, operator.gt: 1, operator.ge: 1}


def comparing(run: Light) -> Comparing:
    """The comparisons of a run that notes nothing: its own answers, behind those that are given."""
    shown, known = run.shown, dict[tuple[int, int], Any]()  # by the comparison the answers that may follow

    def compare(function: Function, original: Function, order: Order, left: Any, right: Any, frame: FrameType) -> Any:
        place = id(frame.f_code), frame.f_lasti
        ways = known.get(place, _UNKNOWN)
        if ways is _UNKNOWN:
            reader = shown.jump(frame)
            ways = known[place] = None if reader is None else run.followed.setdefault(reader, set())
        if ways is None or type(left) not in _TENSORS or type(right) not in _OPERANDS or not nothing_around():
            return original(left, right)
        if run.left:
            return run.next(frame, shown.jump(frame) if run.left == 1 else None)
        numbers = two_numbers(left, right)
        if numbers is None:
            return original(left, right)
        answer = order(*numbers)
        run.most -= 1
        if answer not in ways or run.most < 0:
            run.leave(shown.jump(frame))
        return answer

    return compare


def deciding(run: Light) -> Comparing:
    """The comparisons of a run that makes choices: those of two numbers at a site whose unit of softness is settled."""
    path, scales, known, readers = run.path, run.scales, run.path.provenance.entries, run.shown.jumps
    modes = run.modes
    read = untold(two_numbers) if modes else two_numbers

    def compare(function: Function, original: Function, order: Order, left: Any, right: Any, frame: FrameType) -> Any:
        reader: Any = readers.get((id(frame.f_code), frame.f_lasti), _UNKNOWN)
        if reader is _UNKNOWN:
            reader = run.shown.jump(frame)
        if reader is None or type(left) not in _TENSORS or type(right) not in _OPERANDS or not nothing_around(modes):
            return noted(function, original, left, right)
        if run.left:
            return run.next(frame, reader)
        if run.last is not None:
            run.note_last()  # it may have made an operand
        site = scales.get(reader) or run.settled(reader)
        stand_for_others = known and (id(left) in known or id(right) in known)
        numbers = None if site is None or stand_for_others else read(left, right)
        if site is None or numbers is None:
            return noted(function, original, left, right)
        answer: Answer = order(*numbers)
        decision, scale = site
        sign = _SIGNS[order]
        number = (numbers[0] - numbers[1]) * sign
        has_derivative = path.keeps and torch.is_grad_enabled() and (left.requires_grad or _has_derivative(right))
        if decision is None or scale is None:
            if decision is None and has_derivative:
                run.leave_new_site()
        elif path.keeps:
            operands = (left, right) if sign > 0 else (right, left)
            answer = path.compared(_opened(run, Margin(number, operands, has_derivative)), decision, scale, answer)
        else:
            answer = path.drawn(number, decision, scale, answer)
        path.answers.append(answer)
        run.goes_on(answer, reader)
        return answer

    def noted(function: Function, original: Function, left: Any, right: Any) -> Any:
        result = original(left, right)
        run.note(function, (left, right), {}, result)
        return result

    return compare


def _has_derivative(operand: Tensor | float) -> bool:
    return isinstance(operand, Tensor) and operand.requires_grad


def _opened(run: Light, margin: Margin) -> Margin:
    """A margin of the run, which is computed here where its operands may be written."""
    if not run.path.provenance.writes:
        return run.path.provenance.opened(margin)
    PLACE.run = None  # what softfx itself calls is not the program's
    try:
        return run.path.provenance.opened(margin)
    finally:
        PLACE.run = run
