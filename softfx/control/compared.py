"""Conditions on comparisons of real numbers, in mode smooth: one comparison, and several that logic joins.

They are most of what programs branch by, and every run that draws its answers asks for their probabilities. So these
are computed as numbers, by the formulas of the rules of logic, and tensors are made for the turns that are chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from softfx import ops
from softfx.control.choices import Parts, Yes
from softfx.control.provenance import Made, Margin, Provenance
from softfx.control.slots import item
from softfx.ops.operation import Operation
from softfx.ops.spelling import INDEX

__all__ = ["Compared", "Event", "Joined", "joined", "logistic"]

_FAR = 88.0  # where the logistic function is 0 or 1 in float32
_MOST = 64  # events that are joined: a loop that joins its own result may go on for ever

# The probability of events that are independent, and its derivatives by those of each.
Form = Callable[..., tuple[Any, ...]]
# A comparison, a constant, or a form of other events.
Event = Margin | float | tuple[Form, tuple[Any, ...]]


class Compared(Yes):
    """A comparison of two real numbers, in mode smooth: the logistic function of its margin.

    unit: that of the margin, or what makes it: the unit of the softness may not be measured before it is asked for.
    """

    __slots__ = ("_margin", "_p", "_unit", "has_derivative", "is_known")

    def __init__(self, margin: Margin, unit: float | Callable[[], float]) -> None:
        self._margin, self._unit = margin, unit
        self.has_derivative, self.is_known = margin.has_derivative, math.isfinite(margin.number)
        self._p = logistic(margin.number / unit) if type(unit) is float else -1.0  # not asked for yet

    def wider(self, factor: float) -> Compared:
        return Compared(self._margin, self.unit * factor)

    @property
    def distance(self) -> float:
        return abs(self._margin.number) / self.unit

    @property
    def unit(self) -> float:
        return self._unit if isinstance(self._unit, float) else self._unit()

    @property
    def p(self) -> float:
        if self._p < 0.0:
            self._p = logistic(self._margin.number / self.unit)
        return self._p

    def probability(self) -> Tensor:
        scaled = self._margin.value / self.unit
        return torch.sigmoid(scaled).reshape(())

    def parts(self) -> Parts:
        return self._margin.parts(self.p * (1.0 - self.p) / self.unit)


class Joined(Yes):
    """Comparisons of real numbers that logic joins, as independent events.

    unit: that of all margins, or what makes it.
    """

    def __init__(self, event: Event, unit: float | Callable[[], float]) -> None:
        self._event, self._unit = event, unit
        margins = list(_margins(event))
        self.has_derivative = any(margin.has_derivative for margin in margins)
        self.is_known = not any(math.isnan(margin.number) for margin in margins)

    def wider(self, factor: float) -> Joined:
        return Joined(self._event, self.unit * factor)

    @property
    def unit(self) -> float:
        return self._unit if isinstance(self._unit, float) else self._unit()

    @property
    def p(self) -> float:
        return float(_value(self._event, _number_of(self.unit)))

    def probability(self) -> Tensor:
        unit = self.unit
        p = _value(self._event, lambda margin: torch.sigmoid(margin.value / unit).reshape(()))
        assert isinstance(p, Tensor)  # an event that joins no comparison is none
        return p

    def parts(self) -> Parts:
        found = _slopes(self._event, 1.0, self.unit)
        return [part for margin, slope in found if margin.has_derivative for part in margin.parts(slope)]


def joined(provenance: Provenance, made: Made) -> Event | None:
    """The event that a condition of one element stands for, if it joins comparisons of two numbers and constants alone.

    None for any other, and where more are joined than a number is quickly computed of.
    """
    left = _MOST

    def of_call(made: Made) -> Event | None:
        nonlocal left
        operation = INDEX.of(made.func).operation
        form = _FORMS.get(operation)
        left -= 1
        if form is None or left < 0 or made.kwargs or not made.is_current:
            return None
        events = []
        for operand in made.args:
            if (event := of_operand(operand)) is None:
                return None
            events.append(event)
        return form, tuple(events)

    def of_operand(operand: object) -> Event | None:
        if not isinstance(operand, Tensor):
            return float(operand) if isinstance(operand, bool) else None
        if operand.dtype is not torch.bool or operand.numel() != 1:
            return None
        known = provenance.get(operand)
        if known is None:
            return float(item(operand))
        return of_call(known) if isinstance(known, Made) else known

    return of_call(made)


def _not(a: Any) -> tuple[Any, ...]:
    return 1.0 - a, -1.0


def _and(a: Any, b: Any) -> tuple[Any, ...]:
    return a * b, b, a


def _or(a: Any, b: Any) -> tuple[Any, ...]:
    return 1.0 - (1.0 - a) * (1.0 - b), 1.0 - b, 1.0 - a


def _xor(a: Any, b: Any) -> tuple[Any, ...]:
    one, other = a * (1.0 - b), (1.0 - a) * b
    by_a, by_b = (1.0 - b) * (1.0 - other) - b * (1.0 - one), (1.0 - a) * (1.0 - one) - a * (1.0 - other)
    return 1.0 - (1.0 - one) * (1.0 - other), by_a, by_b


def _eq(a: Any, b: Any) -> tuple[Any, ...]:
    return a * b + (1.0 - a) * (1.0 - b), 2.0 * b - 1.0, 2.0 * a - 1.0


def _ne(a: Any, b: Any) -> tuple[Any, ...]:
    return a * (1.0 - b) + (1.0 - a) * b, 1.0 - 2.0 * b, 1.0 - 2.0 * a


# As softfx.rules.logic has them, and softfx.rules.comparison of bools.
_FORMS: dict[Operation, Form] = {
    ops.logical_not: _not, ops.logical_and: _and, ops.logical_or: _or, ops.logical_xor: _xor, ops.eq: _eq, ops.ne: _ne,
}  # fmt: skip


def _margins(event: Event) -> Iterator[Margin]:
    if isinstance(event, Margin):
        yield event
    elif isinstance(event, tuple):
        for part in event[1]:
            yield from _margins(part)


def _value(event: Event, leaf: Callable[[Margin], Any]) -> Any:
    """The probability of an event by those of its comparisons: numbers, or tensors."""
    if isinstance(event, Margin):
        return leaf(event)
    if isinstance(event, tuple):
        form, parts = event
        return form(*(_value(part, leaf) for part in parts))[0]
    return event


def _slopes(event: Event, weight: float, unit: float) -> Iterator[tuple[Margin, float]]:
    """The derivative of `weight` times the probability of an event by each margin."""
    if isinstance(event, Margin):
        p = logistic(event.number / unit)
        yield event, weight * p * (1.0 - p) / unit
    elif isinstance(event, tuple):
        form, parts = event
        slopes = form(*(_value(part, _number_of(unit)) for part in parts))[1:]
        for part, slope in zip(parts, slopes, strict=True):
            yield from _slopes(part, weight * slope, unit)


def _number_of(unit: float) -> Callable[[Margin], float]:
    return lambda margin: logistic(margin.number / unit)


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)).

    >>> logistic(0.0), logistic(-1000.0)
    (0.5, 0.0)
    """
    if x < 0.0:
        return 0.0 if x < -_FAR else math.exp(x) / (1.0 + math.exp(x))
    return 1.0 if x > _FAR else 1.0 / (1.0 + math.exp(-x))
