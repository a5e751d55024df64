"""Straight-through code that the program has of its own: x + (q - x).detach() and the other ways to write it.

Each is a sum in which one tensor stands with its derivative and, detached, against itself: what is left is the value of
the third. Additions, subtractions and detachments are followed as such sums; `recognised` reads them.
What then happens with it is in `Existing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

import softtorch
from softfx.decisions.sites import Sites
from softfx.interpreter.backends import Backend, Call, Context
from softfx.interpreter.binding import Binding
from softfx.interpreter.hard_values import version
from softfx.ops.integrality import STOPS
from softfx.rules.straight_through_idiom import RULE
from softfx.values.domains import Beside, Values

__all__ = ["Existing"]


class _Term(NamedTuple):
    """One tensor in a sum."""

    tensor: Tensor
    sign: int = 1
    detached: bool = False


@dataclass(frozen=True)
class Existing:
    """The program's own straight-through code under the decisions of `sites`."""

    sites: Sites
    backend: Backend
    values: Values
    bound: Binding
    terms: Beside[tuple[_Term, ...]] = field(default_factory=Beside)  # the few tensors that one is the sum of

    def completed(self, call: Call, result: Any) -> Any:
        """`result`, or what the policy makes of it where this call completes such code."""
        if not isinstance(result, Tensor) or call.written is not None or not torch.is_grad_enabled():
            return result
        found = self._sum(call)
        # A sum keeps its tensors alive: only those that may yet become such code are remembered.
        if found is not None and len(found) < 3:
            self.terms.set(result, found)
        else:
            self.terms.discard(result)
        pair = _recognised(found)
        if pair is None or any(part.shape != result.shape for part in pair):
            return result
        record = self.sites.at(RULE, call.location)
        if record.acts and not record.resolved.named:
            record.keep("straight-through code of the program itself, left as it is; name it to act on it")
        if not record.acts:
            return self._left(call, result, *pair)
        carries = frozenset({record.id}) | self.values.known(pair[0]).carries
        options = {key: value for key, value in record.resolved.options.items() if key in RULE.options}
        context = Context(self.backend, call.func, options, record.action != "soft", carries, result)
        made = record.estimate(context, RULE.relax, *pair) if record.estimate else pair[0]
        return self.bound.bind(context, result, made)

    def _left(self, call: Call, result: Tensor, value: Tensor, surrogate: Tensor) -> Tensor:
        """The code as it is: what made its value had no derivative, and gets none here."""
        soft = self.values.known(value).soft
        if soft is None or any(record.resolved.named for record in self.sites.by_id(soft.sites)):
            return result
        self.sites.detached(soft.sites, call.location)
        joined: Tensor = self.backend.emit(softtorch.straight_through, (result, surrogate), {})
        carries, known = self.values.known(surrogate).carries, self.values.known(result)
        self.values.set(joined, replace(known, carries=carries, soft=None, version=version(joined)))
        return joined

    def subtracted(self, result: Tensor, left: Tensor, right: Tensor) -> None:
        """Remember the difference of two tensors that are no sums themselves."""
        self.terms.set(result, (_Term(left), _Term(right, -1)))

    def alike(self, result: Tensor, tensor: Tensor) -> None:
        """Say that a tensor is the sum that another one is."""
        if (terms := self.terms.get(tensor)) is not None:
            self.terms.set(result, terms)

    def _sum(self, call: Call) -> tuple[_Term, ...] | None:
        """The result of an addition, a subtraction or a detachment as a sum of at most three; None for other calls."""
        if call.op in STOPS and len(call.tensors) == 1:
            return tuple(term._replace(detached=True) for term in self._of(call.tensors[0]))
        if call.op not in ("add", "sub") or call.written is not None or len(call.tensors) != 2 or call.kwargs:
            return None
        if len(call.args) != 2:
            return None
        left, right = (self._of(tensor) for tensor in call.tensors)
        if call.op == "sub" and call.spelled is not None and call.spelled.reflected:
            left, right = right, left
        if call.op == "sub":
            right = tuple(term._replace(sign=-term.sign) for term in right)
        elif not any(term.detached for term in (*left, *right)):
            return None
        return (*left, *right) if len(left) + len(right) <= 3 else None

    def _of(self, tensor: Tensor) -> tuple[_Term, ...]:
        return self.terms.get(tensor) or (_Term(tensor),)


def _recognised(sum_: tuple[_Term, ...] | None) -> tuple[Tensor, Tensor] | None:
    """(value, surrogate) if a tensor is the value of one with the derivative of the other: q and x."""
    if sum_ is None or len(sum_) != 3:
        return None
    for plus in sum_:
        for minus in sum_:
            if _cancel(plus, minus):
                (rest,) = (term for term in sum_ if term is not plus and term is not minus)
                return (rest.tensor, plus.tensor) if rest.sign == 1 else None
    return None


def _cancel(plus: _Term, minus: _Term) -> bool:
    return plus.tensor is minus.tensor and (plus.sign, minus.sign) == (1, -1) and minus.detached and not plus.detached
