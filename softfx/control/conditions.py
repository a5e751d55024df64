"""Choices made of what is read: the probability of a condition, the distribution of a whole number.

They are computed by the rules that softness follows anywhere (softfx.rules), from the real numbers behind the value:
each real comparison in it is relaxed by the softness of the site that reads it, in units of that site's spread, and
whatever was made of its result hands it on. Whether the comparison is a site that acts by itself makes no difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from operator import is_not
from typing import Any, TypeGuard

import torch
from torch import Tensor

from softfx import ops
from softfx.control.choices import Choice, Count, Distribution, Probable, Real
from softfx.control.compared import Compared, Joined, joined
from softfx.control.provenance import ROUNDINGS, Made, Margin, Provenance, real_operands
from softfx.decisions.control_evidence import ControlEvidence, SiteControl
from softfx.decisions.evidence import Evidence
from softfx.decisions.policy import Policy
from softfx.decisions.site import Decision, Softness
from softfx.decisions.sites import Sites
from softfx.interpreter.backends import Direct
from softfx.interpreter.call import Call
from softfx.interpreter.soft_call import soft_call
from softfx.interpreter.state import RunState
from softfx.locations import Location
from softfx.ops.spelling import INDEX
from softfx.ops.trees import map_tensors, tensors_in
from softfx.rules import rule_of_call
from softfx.rules.refusals import is_discrete
from softfx.values import Soft, SoftBool, SoftIndex, TensorTable, ValueFacts
from softtorch.modes import MODES

__all__ = ["Conditions"]

_NOWHERE = Location("", 0)
_MOST_NUMBERS = 64  # of an operand, whose spread is looked at


class Conditions:
    """Makes choices of the values of one run.

    provenance: what its integers and bools were made of.
    evidence: the observations of control sites, the units of their softness among them.
    """

    def __init__(self, provenance: Provenance, evidence: ControlEvidence) -> None:
        self._provenance, self._evidence = provenance, evidence
        self._spreads = evidence.spreads
        self._known: dict[tuple[int, Softness], TensorTable[_Known]] = {}  # by the site and its softness
        self._sites: dict[str, Sites] = {}

    def clear(self) -> None:
        """Forget the shadows of a run that has ended."""
        self._known.clear()

    def condition(self, tensor: Tensor, decision: Decision) -> Choice | None:
        """The choice that a bool read of a tensor is; None if nothing real is behind it."""
        made = self._provenance.get(tensor)
        if made is None:
            return None
        if isinstance(made, Margin):
            return self._yes(made, decision)
        if _is_smooth(decision) and (event := joined(self._provenance, made)) is not None:
            return Joined(event, partial(self._spreads.scale, decision))
        soft = self._soft(tensor, decision)
        return None if soft is None else Probable(soft.truth(_made).reshape(()))

    def settled_scale(self, decision: Decision) -> float | None:
        """The unit of softness of comparisons at a site, if it is known and the mode is smooth; None if not."""
        if self._spreads.wants(decision.id):
            return None
        return self._spreads.scale(decision) if _is_smooth(decision) else None

    def members(self, tensor: Tensor, decision: Decision) -> Sequence[Choice] | None:
        """The choices that the elements of a mask, or of whole numbers, are; None if nothing real is behind them."""
        if (rounded := self._rounded(tensor)) is not None:
            return _counts(rounded.reshape(-1), tensor)
        soft = self._soft(tensor, decision) if self._provenance.get(tensor) is not None else None
        if soft is None:
            return None
        if tensor.dtype is torch.bool:
            return [Probable(p) for p in soft.truth(_made).expand(tensor.shape).reshape(-1).unbind()]
        if isinstance(soft, SoftBool | SoftIndex):
            weights, support = soft.finite(_made)
            size = weights.shape[-1]
            rows = weights.expand(*tensor.shape, size).reshape(-1, size)
            numbers = support.expand(*tensor.shape, size).reshape(-1, size)
            return [Distribution.of(*row) for row in zip(rows.unbind(), numbers.unbind(), strict=True)]
        return _counts(soft.real(_made).expand(tensor.shape).reshape(-1), tensor)

    def _rounded(self, tensor: Tensor) -> Tensor | None:
        """The real numbers that whole ones were made of, moved so that those made k have k in their middle.

        None for whole numbers that were made of something else.
        """
        made = self._provenance.get(tensor)
        if not isinstance(made, Made) or not made.is_current or len(made.tensors) != 1:
            return None
        operation, operand = INDEX.of(made.func).operation, made.tensors[0]
        casts = operation is ops.cast and is_discrete(tensor) and tensor.dtype is not torch.bool
        if not (casts or operation in ROUNDINGS) or not operand.is_floating_point():
            return None
        if self._provenance.get(operand) is not None:
            return self._rounded(operand)
        offset = ROUNDINGS.get(operation)
        return _halfway(operand) if offset is None else operand + offset

    def whole(self, tensor: Tensor, decision: Decision) -> Choice | None:
        """The choice that a whole number read of a tensor is; None if nothing real is behind it."""
        if (rounded := self._rounded(tensor)) is not None:
            return _counted(rounded.reshape(()), tensor.item())
        soft = self._soft(tensor, decision) if self._provenance.get(tensor) is not None else None
        if soft is None:
            return None if is_discrete(tensor) else _truncated(self._real(tensor, decision))
        if isinstance(soft, SoftBool | SoftIndex):
            weights, support = soft.finite(_made)
            size = weights.shape[-1]
            return Distribution.of(weights.reshape(size), support.expand(*weights.shape).reshape(size))
        return _counted(soft.real(_made).reshape(()), tensor.item())

    def seen(self, decision: Decision) -> SiteControl:
        """The observations of a site."""
        return self._evidence.of(decision.id)

    def note(self, text: str) -> None:
        """Have the report say something once."""
        self._evidence.notes[text] = None

    def known(self, decision: Decision) -> None:
        """Note that what was read at a site has a probability."""
        self._evidence.of(decision.id).known = True

    def unknown(self, decision: Decision, has_none: bool) -> None:
        """Note that what was read at a site has no probability: nothing real is behind it, or it is not finite."""
        self._evidence.of(decision.id).unknown["nothing is known of" if has_none else "not finite is"] += 1

    def measure(self, reading: str, tensor: Tensor, decision: Decision) -> None:
        """Note what a value that is read was decided by, where the site's spread is not known."""
        if self._spreads.wants(decision.id):
            if reading == "branch" or self._provenance.get(tensor) is not None:
                self._spreads.met(decision.id, self._margins(tensor))
            else:
                self._spreads.met(decision.id, [float(tensor.detach())])

    def _margins(self, tensor: Tensor) -> Iterator[float]:
        """What a value that is read was decided by: the margins of comparisons behind it, or numbers."""
        waiting, seen = [tensor], set()
        while waiting:
            tensor = waiting.pop()
            made = self._provenance.get(tensor)
            if isinstance(made, Margin):
                yield made.number
            elif made is None or id(made) in seen:
                continue
            elif len(reals := self._ends(made)) and len(reals) == len(made.tensors):
                seen.add(id(made))
                yield from _apart(made, reals)
            else:
                seen.add(id(made))
                waiting.extend(made.tensors)

    def _ends(self, made: Made) -> list[Tensor]:
        """The operands that are real numbers and stand for nothing else."""
        return [tensor for tensor in real_operands(made) if self._provenance.get(tensor) is None]

    def real(self, tensor: Tensor, decision: Decision) -> Choice:
        """The choice that a real number read of a tensor is."""
        return Real(tensor, tensor.item(), lambda: self._spreads.scale(decision))

    def _yes(self, margin: Margin, decision: Decision) -> Choice:
        if _is_smooth(decision):
            return Compared(margin, partial(self._spreads.scale, decision))
        return Probable(self._step(margin.value, decision).reshape(()))

    def _step(self, margin: Tensor, decision: Decision) -> Tensor:
        """The probability that a margin is above 0.  # (...) -> (...)"""
        mode = MODES[decision.resolved.options.get("mode", "smooth")]
        return mode.step_of(margin, self._spreads.scale(decision))

    # -- shadows -------------------------------------------------------------------------------------------------

    def _soft(self, tensor: Tensor, decision: Decision) -> Soft | None:
        """The shadow of a tensor that is read at a site: of what it was made of, from there on."""
        known = self._known.setdefault((decision.id, decision.softness), TensorTable())
        waiting = [tensor]
        while waiting:  # a loop, not a recursion: a count may go on for as many calls as the program likes
            last = waiting[-1]
            if known.get(last) is not None:
                waiting.pop()
                continue
            made = self._provenance.get(last)
            ahead = [t for t in made.tensors if self._is_open(t, known)] if self._is_followed(made) else []
            waiting.extend(ahead)
            if not ahead:
                waiting.pop()
                known.set(last, self._made_softly(made, known, decision))
        found = known.get(tensor)
        return None if found is None else found.soft

    def _real(self, tensor: Tensor, decision: Decision) -> Tensor:
        """The real number that a tensor became in the mean, by its `_soft`; itself where it is one of the program's."""
        known = self._known.get((decision.id, decision.softness))
        found = None if known is None else known.get(tensor)
        return tensor if found is None or found.real is None else found.real

    @staticmethod
    def _is_followed(made: Margin | Made | None) -> TypeGuard[Made]:
        """True if what a tensor was made of is still what it was; of what was written since it may be a part itself."""
        return isinstance(made, Made) and made.is_current

    def _is_open(self, tensor: Tensor, known: TensorTable[_Known]) -> bool:
        return self._provenance.get(tensor) is not None and known.get(tensor) is None

    def _made_softly(self, made: Margin | Made | None, known: TensorTable[_Known], decision: Decision) -> _Known:
        if isinstance(made, Margin):
            return _Known(SoftBool(self._step(made.value, decision), exact=False))
        if made is None or not made.is_current:
            return _Known()
        if INDEX.of(made.func).operation is ops.isclose and not any(map(is_discrete, made.tensors)):
            # softtorch.isclose is 1 within the tolerance, where a condition may end as well as begin
            left = _left_of_closeness(*made.args, **made.kwargs)
            return _Known(SoftBool(self._step(left, decision), exact=False))
        args, kwargs = map_tensors(partial(_in_the_mean, known), (made.args, made.kwargs))
        tensors = [_in_the_mean(known, tensor) for tensor in made.tensors]
        facts = [_facts(tensor, known.get(tensor)) for tensor in made.tensors]
        spelled = INDEX.of(made.func)
        rule = rule_of_call(spelled, args, kwargs)
        if rule is None or not any(item.depends_on_source for item in facts):
            return _Known()
        is_real = not any(item.soft for item in facts) and any(map(is_not, tensors, made.tensors))
        if is_real and not rule.decides:
            return _Known(real=tensors_in(made.func(*args, **kwargs))[made.part])
        state = RunState(self._sites_of(decision), Evidence(), Direct(), planning=True, tracks_gradients=False)
        for tensor, item in zip(tensors, facts, strict=True):
            state.environment.set(tensor, item)
        call = Call(made.func, args, kwargs, tensors, facts, spelled, rule, lambda: _NOWHERE)
        if not call.softs and rule.relax is None:
            return _Known()
        own = None
        if rule.decides:
            own = state.sites.at(rule, _NOWHERE).with_softness(self._spreads.scale(decision))
        output = tensors_in(soft_call(state, call, own))[made.part]
        soft = state.environment.facts(output).soft
        return _Known(soft, output if soft is None and output.is_floating_point() else None)

    def _sites_of(self, decision: Decision) -> Sites:
        """Decisions under which everything is relaxed in the mode of a site, in units of the numbers as they are."""
        mode = decision.resolved.options.get("mode", "smooth")
        if mode not in self._sites:
            families = ["discrete", "kink"]
            default = {"action": "soft", "families": families, "mode": mode, "softness": {"relative": 1.0}}
            self._sites[mode] = Sites(Policy.load({"default": default}))
        return self._sites[mode]


def _is_smooth(decision: Decision) -> bool:
    return bool(decision.resolved.options.get("mode", "smooth") == "smooth")


class _Known:
    """That a shadow was asked for, and the answer, which may be that there is none.

    real: the real number in its place, where what stood for integers or bools has become one: a mean, say.
    """

    __slots__ = ("real", "soft")

    def __init__(self, soft: Soft | None = None, real: Tensor | None = None) -> None:
        self.soft, self.real = soft, real


def _in_the_mean(known: TensorTable[_Known], tensor: Tensor) -> Tensor:
    found = known.get(tensor)
    return tensor if found is None or found.real is None else found.real


def _facts(tensor: Tensor, known: _Known | None) -> ValueFacts:
    if known is not None and known.soft is not None:
        return ValueFacts(True, known.soft, integral=True)
    if known is not None and known.real is None:  # whole numbers of which nothing is known, such as are written since
        return ValueFacts(False, integral=True)
    return ValueFacts(tensor.is_floating_point())


def _made(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def _counted(value: Tensor, own: float) -> Count:
    """The count that stands for a whole number `own`; those of counts that are not negative stay so."""
    return Count(value, value.item(), least=0.0 if own >= 0 else -math.inf)


def _counts(values: Tensor, own: Tensor) -> list[Choice]:
    """The counts that stand for whole numbers `own`.  # ([n]), of n elements"""
    return [_counted(value, number) for value, number in zip(values.unbind(), own.reshape(-1).tolist(), strict=True)]


def _halfway(x: Tensor) -> Tensor:
    """A real number nearer to 0 by a half.  # (...) -> (...)"""
    return torch.where(x < 0.0, (x + 0.5).clamp(max=0.0), (x - 0.5).clamp(min=0.0))


def _truncated(tensor: Tensor) -> Choice:
    """int(x) of a real x: a count, centred on the numbers that are truncated to it."""
    number = float(tensor.detach())
    if number >= 0.0:
        value = (tensor - 0.5).clamp(min=0.0).reshape(())
        return Count(value, value.item(), least=0.0)
    value = (tensor + 0.5).clamp(max=0.0).reshape(())
    return Count(value, value.item(), most=0.0)


def _apart(made: Made, reals: list[Tensor]) -> list[float]:
    """The margins of a call on real numbers: of a comparison the differences, of closeness what is left of it.

    Of others the numbers themselves; of those that it chooses among, how far they are from their mean: what they have
    in common, now this and now that, decides nothing.
    """
    operation = INDEX.of(made.func).operation
    with torch.no_grad():
        first = reals[0].detach()
        if operation is ops.isclose:
            first = _left_of_closeness(*made.args, **made.kwargs)
        elif operation.python is not None and len(made.args) > 1:
            first = first - (made.args[1] if made.args[0] is reals[0] else made.args[0])
        elif first.numel() > 1:
            first = first - first.mean()
        found: list[float] = first.reshape(-1)[:_MOST_NUMBERS].tolist()
        return found


def _left_of_closeness(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """By how much torch.isclose holds.  # (...), (...) -> (...)"""
    return atol + rtol * other.abs() - (input - other).abs()
