"""What the integers and bools of a run were made of, so that a value that Python reads can be given a probability.

Every call with a result of integers or bools is noted beside that result, and goes with it. Of a comparison of two real
numbers the margin is taken at once, as a tensor that carries its derivative; nothing else is computed until something
is read (softfx.control.conditions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from softfx import ops
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.operation import Operation
from softfx.ops.spelling import INDEX
from softfx.ops.trees import tensors_in
from softfx.rules.refusals import is_discrete
from softfx.torch_private import version_of
from softfx.values import TensorTable

__all__ = ["Made", "Margin", "Provenance", "real_operands", "sign_of"]

# The sign with which the first operand of a comparison speaks for it.
SIGNS: dict[Operation, int] = {ops.gt: 1, ops.ge: 1, ops.lt: -1, ops.le: -1}


class Margin:
    """A comparison of two real numbers: by how much it holds, as a tensor with its derivative or as a number alone."""

    __slots__ = ("_number", "_value")

    def __init__(self, value: Tensor | None, number: float | None = None) -> None:
        self._value, self._number = value, number

    @classmethod
    def of(cls, number: float) -> Margin:
        """A margin without a derivative."""
        return cls(None, number)

    @property
    def value(self) -> Tensor:
        """Positive where it holds; one element."""
        if self._value is None:
            self._value = torch.tensor(self._number)
        return self._value

    @property
    def number(self) -> float:
        """The same as a number."""
        if self._number is None:
            self._number = self.value.item()
        return self._number

    @property
    def has_derivative(self) -> bool:
        return self._value is not None and self._value.requires_grad


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
    """What each tensor of integers or bools of a run was made of; constants are not listed.

    functions: those that made them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.functions: set[Function] = set()

    def note(self, func: Function, args: Args, kwargs: Kwargs, result: Result) -> None:
        """Note a call that has been made, where its result holds integers or bools."""
        if type(result) is Tensor:
            if is_discrete(result):
                self._note(func, args, kwargs, result)
        elif isinstance(result, tuple | list):
            for part, item in enumerate(result):
                if type(item) is Tensor and is_discrete(item):
                    self._note(func, args, kwargs, item, part)

    def _note(self, func: Function, args: Args, kwargs: Kwargs, result: Tensor, part: int = 0) -> None:
        if len(args) == 2 and not kwargs and result.numel() == 1:
            sign = sign_of(func)
            if sign and (value := _margin(sign, args)) is not None:
                self.functions.add(func)
                self.set(result, Margin(value))
                return
        tensors = tensors_in((args, kwargs) if kwargs else args)
        if any(self.get(tensor) is not None or tensor.is_floating_point() for tensor in tensors):
            self.functions.add(func)
            self.set(result, Made(func, args, kwargs, part, tensors, [version_of(tensor) for tensor in tensors]))

    def before_write(self, target: Tensor) -> Tensor | None:
        """A copy of a tensor that is about to be written, known as that was; None if nothing is known of it."""
        made = self.get(target)
        if made is None:
            return None
        copy = target.clone()
        self.set(copy, made)
        return copy

    def after_write(self, before: Tensor | None, func: Function, args: Args, kwargs: Kwargs) -> None:
        """Note that a call has written a tensor of integers or bools, its first operand; before: what that was."""
        target, spelled = args[0], INDEX.of(func)
        self.discard(target)
        if spelled.in_place and not spelled.reflected and spelled.operation in _ELEMENTWISE:
            operands = (target.clone() if before is None else before, *args[1:])
            self._note(spelled.operation.function, operands, kwargs, target)


_SIGN_OF: dict[Any, int] = {}
# What may be written onto integers and bools in place, and has a function that gives the same out of place.
_ELEMENTWISE = frozenset({
    ops.add, ops.sub, ops.mul, ops.logical_and, ops.logical_or, ops.logical_not, ops.logical_xor,
})  # fmt: skip


def sign_of(func: Function) -> int:
    """The sign with which the first operand of a comparison speaks for it; 0 for another function."""
    sign = _SIGN_OF.get(func)
    if sign is None:
        spelled = INDEX.of(func)
        sign = 0 if spelled.in_place else SIGNS.get(spelled.operation, 0)
        sign = _SIGN_OF[func] = -sign if spelled.reflected else sign
    return sign


def _margin(sign: int, operands: Args) -> Tensor | None:
    """By how much the comparison of two numbers holds; None if they are not real."""
    left, right = operands
    reals = 0
    for operand in operands:
        if isinstance(operand, Tensor):
            if not operand.is_floating_point():
                return None
            reals += 1
        elif type(operand) not in (float, int):
            return None
    if not reals:
        return None
    margin: Tensor = left - right if sign > 0 else right - left
    return margin


def real_operands(made: Made) -> list[Tensor]:
    """The operands of a call that are real numbers."""
    return [tensor for tensor in made.tensors if tensor.is_floating_point()]
