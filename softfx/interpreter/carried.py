"""Calls that carry the derivative by themselves: linear ones, of straight-through operands.

A real tensor with a shadow has the value that the program sees and the derivative of its shadow. An operation that is
linear in such operands, and multiplies them by what has no derivative, has the same derivative at the hard values as at
the soft ones: the program's own call is the straight-through form. A shadow of its result is made where something asks
for it (softfx.values.Pending), which is a call that is not linear; most results never need one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softfx.interpreter.call import Call
from softfx.interpreter.call_context import counts_softly, is_integral
from softfx.interpreter.fast_path import FunctionInfo
from softfx.interpreter.soft_call import facts_of_carried
from softfx.interpreter.state import RunState
from softfx.interpreter.straight_through_idiom import note_difference
from softfx.locations import Location
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.integrality import has_whole_arguments
from softfx.ops.operation import Integral, Linear
from softfx.ops.trees import ATOMS, BARE, in_own_containers
from softfx.torch_private import storage_key, version_of
from softfx.values import Pending, SelectedRows, SoftBool, SoftCount, SoftReal, ValueFacts
from softtorch.scope import outside

__all__ = ["Carrier"]

_NAMED = frozenset({"dim", "keepdim", "input", "other"})
# Beyond this many shadows made one after the other, and tensors kept for them, the next is made at once.
_DEEPEST = 16
_NO_SITES = frozenset[int]()
_STEPPED = ValueFacts(True, stepped=True)


class Carrier:
    """Makes the linear calls of one run on straight-through operands."""

    def __init__(self, state: RunState, where: Callable[[], Location]) -> None:
        self._state = state
        self._environment = state.environment
        self._where = where
        self._is_asked = not state.sites.policy.turns

    def call(self, info: FunctionInfo, func: Function, args: Args, kwargs: Kwargs) -> Tensor | None:
        """The result of a call that carries the derivative of its operands; None for another one, not made yet."""
        if not self._is_asked or not torch.is_grad_enabled():
            return None
        if kwargs and not _NAMED.issuperset(kwargs):
            return None
        operands = (*args, *kwargs.values()) if kwargs else args
        behind = self._behind(info, operands)
        if behind is None or (info.decides and info.is_site(func, args, kwargs)):
            return None
        if self._state.sites.scope(behind.sites) != "region":
            return None
        result = self._state.backend.run(func, args, kwargs)
        if type(result) is not Tensor:
            raise TypeError(f"{info.operation} gave a {type(result).__name__}, and is said to be linear")
        if any(result is operand for operand in operands):
            return result
        self._note(info, func, args, kwargs, result, behind)
        return result

    def _behind(self, info: FunctionInfo, operands: tuple[Any, ...]) -> _Behind | None:
        """Where the shadows of the operands come from; None if the call cannot carry."""
        linear, sites, depth, carrying, fixed = info.operation.linear, _NO_SITES, 0, 0, []
        for operand in operands:
            if type(operand) in BARE:
                known = self._environment.get(operand)
                if isinstance(known, Pending):
                    sites, depth = sites | known.sites, max(depth, known.depth)
                elif known is not None and known.unbounded:
                    return None
                elif known is None or (known.soft is None and known.hard is None):
                    fixed.append(operand)
                    continue
                elif (own := _carried_sites(operand, known)) is not None:
                    sites |= own
                else:
                    return None
                carrying += 1
            elif _holds_no_tensors(operand):
                fixed.append(operand)
            else:
                return None
        if not carrying or depth >= _DEEPEST or (carrying > 1 and linear is not Linear.JOINTLY):
            return None
        if linear is Linear.FIRST and (info.spelled.reflected or len(operands) != 2 or isinstance(operands[1], Tensor)):
            return None
        if not all(_may_stand_beside(self._state, operand, linear) for operand in fixed):
            return None
        return _Behind(sites, depth)

    def _note(
        self, info: FunctionInfo, func: Function, args: Args, kwargs: Kwargs, result: Tensor, behind: _Behind
    ) -> None:
        """Remember how the facts of a result are found; a real number that stands for no integer has no shadow."""
        if info.is_difference and len(args) == 2 and all(isinstance(operand, Tensor) for operand in args):
            left, right = reversed(args) if info.spelled.reflected else args
            note_difference(self._state, result, left, right)
        self._state.evidence.join(behind.sites)
        if info.operation.integral is Integral.NEVER or not has_whole_arguments(args):
            self._environment.set(result, _STEPPED)
            return
        args, kwargs = in_own_containers((args, kwargs))
        tensors = [operand for operand in (*args, *kwargs.values()) if isinstance(operand, Tensor)]
        like = self._state.backend.emit(torch.detach, (result,), {})
        made = _Made(info, func, args, kwargs, tensors, like)
        find, number, storages = partial(self._find, made), partial(self._number, made), partial(self._storages, made)
        self._environment.set(result, Pending(find, number, storages, behind.sites, behind.depth + 1))

    def _storages(self, made: _Made) -> frozenset[int | None]:
        """The keys of the memory that finding the facts of a result reads, and of its own."""
        keys = frozenset(map(storage_key, (made.result, *made.tensors)))
        behind = (known for tensor in made.tensors if isinstance(known := self._environment.get(tensor), Pending))
        return keys.union(*(known.storages() for known in behind))

    def _find(self, made: _Made) -> ValueFacts:
        """The facts of a result, with its shadow."""
        if made.is_overwritten:
            return _STEPPED
        facts = [self._environment.facts(tensor) for tensor in made.tensors]
        info = made.info
        if all(known.soft is None for known in facts) and not any(map(counts_softly, made.tensors, facts)):
            return _STEPPED  # what it is made of turned out to be no integer
        call = Call(made.func, made.args, made.kwargs, made.tensors, facts, info.spelled, info.rule, self._where)
        return facts_of_carried(self._state, call, made.result)

    def _number(self, made: _Made) -> ValueFacts:
        """The facts of a result as a number: the same call on the numbers that its operands are worth."""
        state, numbers, sites = self._state, {}, _NO_SITES
        if made.is_overwritten:
            return _STEPPED
        for tensor in made.tensors:
            facts = self._environment.number_facts(tensor)
            if facts.soft is None and not counts_softly(tensor, facts) and not is_integral(state, tensor):
                return _STEPPED
            if not isinstance(facts.soft, SoftBool | SoftCount | None):
                return self._find(made)  # it is worth a sum over integers, which rounds otherwise once it is added to
            if facts.soft is not None:
                numbers[id(tensor)], sites = facts.soft, sites | facts.soft.sites
        emit = partial(_emitted, state)
        with torch.enable_grad():
            worth = {key: soft.real(emit) for key, soft in numbers.items()}
            args = tuple([worth.get(id(operand), operand) for operand in made.args])
            kwargs = {name: worth.get(id(operand), operand) for name, operand in made.kwargs.items()}
            value = outside(state.backend.emit, made.func, args, kwargs)
        return ValueFacts(True, SoftCount(value, sites=sites), integral=True, stepped=True)


class _Behind(NamedTuple):
    """Where the shadows of the operands of a call come from: their sites, and how deep they are."""

    sites: frozenset[int]
    depth: int


@dataclass(frozen=True, eq=False, slots=True)
class _Made:
    """A call that was made, to find the facts of its result by.

    result: detached, for the shape and the type of the result.
    versions: those that its operands have now.
    """

    info: FunctionInfo
    func: Function
    args: Args
    kwargs: Kwargs
    tensors: list[Tensor]
    result: Tensor
    versions: list[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "versions", [version_of(tensor) for tensor in self.tensors])

    @property
    def is_overwritten(self) -> bool:
        """True if something that was not seen has written the operands since."""
        return [version_of(tensor) for tensor in self.tensors] != self.versions


def _emitted(state: RunState, function: Function, *args: Any, **kwargs: Any) -> Any:
    return state.backend.emit(function, args, kwargs)


def _holds_no_tensors(operand: Any) -> bool:
    if isinstance(operand, torch.dtype):  # the bits of x.view(torch.int32) are not linear in x
        return False
    return type(operand) in ATOMS or (type(operand) in (tuple, list) and all(type(item) in ATOMS for item in operand))


def _carried_sites(tensor: Tensor, facts: ValueFacts) -> frozenset[int] | None:
    """The sites of a real tensor's shadow, if it has the derivative of that; None otherwise."""
    soft = facts.soft
    if soft is None or facts.hard is not None or not soft.exact or isinstance(soft, SelectedRows | SoftReal):
        return None
    return soft.sites if tensor.requires_grad and tensor.is_floating_point() else None


def _may_stand_beside(state: RunState, operand: Any, linear: Linear) -> bool:
    """Return True for what an operand may stand beside: finite, and in a product without a derivative."""
    if isinstance(operand, Tensor):
        if linear is not Linear.JOINTLY and operand.requires_grad:
            return False
        return not (operand.is_floating_point() or operand.is_complex()) or state.backend.is_finite(operand)
    return not isinstance(operand, float) or math.isfinite(operand)
