"""What the integers and bools of a run were made of, so that a value that Python reads can be given a probability.

Every call with a result of integers or bools is noted beside that result, and goes with it; so is one whose real result
goes on standing for such: cast, rounded, counted. Of a comparison of two real
numbers the margin is taken at once, as a tensor that carries its derivative; nothing else is computed until something
is read (softfx.control.conditions).
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_float
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from softfx import ops
from softfx.control.slots import item
from softfx.control.writes import calls_that_write
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.operation import Operation
from softfx.ops.spelling import INDEX
from softfx.ops.trees import tensors_in
from softfx.rules.refusals import is_discrete
from softfx.torch_private import in_transform, version_of
from softfx.values import TensorTable

__all__ = ["ROUNDINGS", "Made", "Margin", "Provenance", "real_operands", "sign_of", "two_numbers"]

# The sign with which the first operand of a comparison speaks for it.
SIGNS: dict[Operation, int] = {ops.gt: 1, ops.ge: 1, ops.lt: -1, ops.le: -1}
_EQUALITIES = frozenset({ops.eq, ops.ne})

# Real numbers that are made whole: by how much the middle of what is made k lies above k, with the sign reversed; of a
# truncation, and of a cast to integers, it is on the side of 0.
ROUNDINGS: dict[Operation, float | None] = {ops.round: 0.0, ops.floor: -0.5, ops.ceil: 0.5, ops.trunc: None}
# What else makes real numbers whole.
_WHOLE = frozenset({ops.floor_divide, ops.histc, ops.sign, ops.heaviside})
# What real numbers that stand for integers or bools go on standing in, as long as nothing else is among the operands.
_STANDING = frozenset({
    ops.cast, ops.sum, ops.mean, ops.add, ops.sub, ops.mul, ops.div, ops.neg, ops.stack, ops.cat, ops.getitem,
    ops.reshape, ops.squeeze, ops.unsqueeze, ops.detach, ops.clone, ops.cumsum, ops.where,
})  # fmt: skip


class Margin:
    """A comparison of two real numbers: by how much it holds, and what that is made of.

    Few margins are asked for their derivative, so the tensor that carries it is made when one is; before an operand is
    written it has to be made (Provenance.settle).
    """

    __slots__ = ("_operands", "_value", "has_derivative", "number")

    def __init__(self, number: float, operands: Args, has_derivative: bool) -> None:
        self.number, self.has_derivative = number, has_derivative
        self._operands = operands
        self._value: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """Positive where it holds; one element."""
        if self._value is None:
            left, right = self._operands
            if self.has_derivative:
                with torch.enable_grad():
                    self._value = left - right
            else:  # the operands may be written by now
                like = left if isinstance(left, Tensor) else right
                self._value = like.new_tensor(self.number)
        return self._value

    def parts(self, slope: float) -> list[tuple[Tensor, float]]:
        """The tensors whose derivatives together are `slope` times that of the margin, each with its factor."""
        if self._value is not None:
            return [(self._value, slope)]
        pairs = zip(self._operands, (slope, -slope), strict=True)
        return [(operand, factor) for operand, factor in pairs if _has_derivative(operand)]


@dataclass(eq=False, slots=True)
class Made:
    """The call that made a tensor of integers or bools.

    part: which of the tensors in its result.
    versions: of its operands, when it was made.
    """

    func: Function
    args: Args
    kwargs: Kwargs
    part: int
    tensors: Sequence[Tensor]
    versions: Sequence[int]

    @property
    def is_current(self) -> bool:
        """True if no operand was written since."""
        return all(map(int.__eq__, map(version_of, self.tensors), self.versions))


class Provenance(TensorTable[Margin | Made]):
    """What each tensor of integers or bools of a run was made of, real ones that stand for such too; no constants.

    functions: those that made them.
    writes: the run may write operands out of sight, so that the tensors of margins are made at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.functions: set[Function] = set()
        self.writes = False
        self._open: list[Margin] = []  # whose tensors are not made yet

    def clear(self) -> None:
        """Forget what a run made, which has ended."""
        self.entries.clear()
        self._open.clear()

    def settle(self) -> None:
        """A tensor is about to be written: make the tensors of margins while their operands are what they were."""
        while self._open:
            _ = self._open.pop().value

    def margin(self, func: Function, args: Args, differentiable: bool) -> Margin | None:
        """The margin of a comparison of two real numbers; None for another call. differentiable: gradients were on."""
        sign = sign_of(func)
        if not sign or len(args) != 2 or in_transform():
            return None
        operands = left, right = args if sign > 0 else args[::-1]
        if self.entries and (self._knows(left) or self._knows(right)):
            return None
        if (difference := _difference(left, right)) is None:
            return None
        return self.opened(Margin(difference, operands, differentiable and any(map(_has_derivative, operands))))

    def opened(self, margin: Margin) -> Margin:
        """A margin of this run, its tensor made at once where operands may be written out of sight."""
        if margin.has_derivative:
            if self.writes:
                _ = margin.value
            else:
                self._open.append(margin)
        return margin

    def _knows(self, operand: object) -> bool:
        return isinstance(operand, Tensor) and self.get(operand) is not None

    def note(self, func: Function, args: Args, kwargs: Kwargs, result: Result) -> None:
        """Note a call that has been made, where its result holds integers or bools, or stands for such."""
        if type(result) is Tensor:
            if is_discrete(result) or self._stands(func, args, kwargs):
                self._note(func, args, kwargs, result)
        elif isinstance(result, tuple | list):
            for part, item in enumerate(result):
                if type(item) is Tensor and is_discrete(item):
                    self._note(func, args, kwargs, item, part)

    def _stands(self, func: Function, args: Args, kwargs: Kwargs) -> bool:
        """Return True for a call whose real result is made whole, or stands for integers or bools as its operands do.

        By values alone, so that it is so in every run, with gradients or without.
        """
        kind = _standing_of(func)
        if kind is None or in_transform():
            return False
        if kind:
            return INDEX.of(func).operation in _WHOLE or (len(args) == 1 and not kwargs)
        if not self.entries:
            return False
        tensors = tensors_in((args, kwargs) if kwargs else args)
        return any(self.get(tensor) is not None for tensor in tensors) and all(map(self._is_whole, tensors))

    def _is_whole(self, tensor: Tensor) -> bool:
        if self.get(tensor) is not None or is_discrete(tensor):
            return True
        return tensor.numel() == 1 and tensor.is_floating_point() and float(item(tensor)).is_integer()

    def equates(self, tensor: Tensor) -> bool:
        """Return True for a bool that says whether two real numbers are equal, which stand for nothing else."""
        made = self.get(tensor)
        if not isinstance(made, Made) or INDEX.of(made.func).operation not in _EQUALITIES:
            return False
        return not any(is_discrete(operand) or self.get(operand) is not None for operand in made.tensors)

    def knows_one(self, args: Args) -> bool:
        """Return True if an operand stands for integers or bools that are noted."""
        return bool(self.entries) and any(self.get(tensor) is not None for tensor in tensors_in(args))

    def _note(self, func: Function, args: Args, kwargs: Kwargs, result: Tensor, part: int = 0) -> None:
        if not kwargs and result.numel() == 1:
            margin = self.margin(func, args, torch.is_grad_enabled())
            if margin is not None:
                self.functions.add(func)
                self.set(result, margin)
                return
        tensors = tensors_in((args, kwargs) if kwargs else args)
        if any(tensor is result for tensor in tensors):  # a cast to the type that it has: nothing was made
            return
        if any(self.get(tensor) is not None or tensor.is_floating_point() for tensor in tensors):
            self.functions.add(func)
            self.set(result, Made(func, args, kwargs, part, tensors, [version_of(tensor) for tensor in tensors]))

    def before_write(self, target: Tensor) -> Tensor:
        """A copy of a tensor that is about to be written, known as that was."""
        copy = target.clone()
        if (made := self.get(target)) is not None:
            self.set(copy, made)
        return copy

    def after_write(self, before: Tensor, func: Function, args: Args, kwargs: Kwargs) -> None:
        """Note that a call has written its first operand, of integers or bools or with such; before: what that was."""
        target, spelled = args[0], INDEX.of(func)
        self.discard(target)
        if not is_discrete(target) and not all(map(self._is_whole, tensors_in(args[1:]))):
            return
        if spelled.in_place and not spelled.reflected and spelled.operation in _ELEMENTWISE:
            self._note(spelled.operation.function, (before, *args[1:]), kwargs, target)
        elif not kwargs and self.knows_one((before, *args[1:])):
            for call in calls_that_write(spelled.operation, before, args[1:], self.get):
                self._note(call.func, call.args, {}, target if call.result is None else call.result)


_SIGN_OF: dict[Any, int] = {}
# What may be written onto integers and bools in place, and has a function that gives the same out of place.
_ELEMENTWISE = frozenset({
    ops.add, ops.sub, ops.mul, ops.logical_and, ops.logical_or, ops.logical_not, ops.logical_xor, ops.masked_fill,
})  # fmt: skip


_STANDING_OF: dict[Any, bool | None] = {}


def _standing_of(func: Function) -> bool | None:
    """True for a function that makes real numbers whole, False for one that whole ones stay so in, None for others."""
    if func not in _STANDING_OF:
        spelled = INDEX.of(func)
        rounds, keeps = spelled.operation in ROUNDINGS or spelled.operation in _WHOLE, spelled.operation in _STANDING
        _STANDING_OF[func] = None if spelled.in_place or not (rounds or keeps) else rounds
    return _STANDING_OF[func]


def sign_of(func: Function) -> int:
    """The sign with which the first operand of a comparison speaks for it; 0 for another function."""
    sign = _SIGN_OF.get(func)
    if sign is None:
        spelled = INDEX.of(func)
        sign = 0 if spelled.in_place else SIGNS.get(spelled.operation, 0)
        sign = _SIGN_OF[func] = -sign if spelled.reflected else sign
    return sign


def _difference(left: Any, right: Any) -> float | None:
    """left - right, of two real numbers of which one at least is a tensor; None for anything else."""
    if isinstance(left, Tensor):
        if left.numel() != 1 or type(one := item(left)) is not float:
            return None
        if not isinstance(right, Tensor):
            return None if type(right) not in _NUMBERS else one - _as_torch_takes(right, left.dtype)
    elif type(left) not in _NUMBERS or not isinstance(right, Tensor):
        return None
    if right.numel() != 1 or type(other := item(right)) is not float:
        return None
    found: float = (one if isinstance(left, Tensor) else _as_torch_takes(left, right.dtype)) - other
    return found


def two_numbers(left: Tensor, right: Tensor | float) -> tuple[float, float] | None:
    """Two real numbers as torch compares them; None for anything else, whose comparison torch makes itself.

    >>> two_numbers(torch.tensor(1.5), torch.tensor(2.0)), two_numbers(torch.tensor([1.5, 2.0]), 2.0)
    ((1.5, 2.0), None)
    """
    dtype = left.dtype
    if dtype is not torch.float32 and dtype is not torch.float64:  # others are compared in another precision
        return None
    try:
        one: float = item(left)
        if isinstance(right, Tensor):
            return (one, item(right)) if right.dtype is dtype else None
        return one, float(right) if dtype is torch.float64 else c_float(right).value
    except (RuntimeError, OverflowError):  # not one element, or a number that is none of this kind: torch says so
        return None


def _as_torch_takes(number: float, dtype: torch.dtype) -> float:
    """A number of Python as it is beside a tensor of a dtype: 0.4 and the 0.4 of float32 are the same there."""
    if dtype is torch.float64:
        return number
    return c_float(number).value if dtype is torch.float32 else torch.tensor(number, dtype=dtype).item()


_NUMBERS = (float, int)


def _has_derivative(operand: object) -> bool:
    return isinstance(operand, Tensor) and operand.requires_grad


def real_operands(made: Made) -> list[Tensor]:
    """The operands of a call that are real numbers."""
    return [tensor for tensor in made.tensors if tensor.is_floating_point()]
