"""One canonical name for every way to write an operation.

`torch.topk`, `x.topk`, `torch.Tensor.topk`, `operator.gt`, `x > y`, `F.relu`, `x.clamp_`, `1 - x` and the aten
overloads all come here; the answer is the operation, whether it writes in place, and the arguments under torch's
own names. To teach a new spelling of a known operation, add it to the rule's `aliases`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from softfx.torch_private import OpOverload, OpOverloadPacket

__all__ = ["Spelled", "Spelling"]

_NAMESPACES: tuple[Any, ...] = (torch, Tensor, F, torch.special, torch.linalg, operator)
# Python's operators under torch's names; the reflected ones swap their operands.
_DUNDER = {
    "add": ("__add__", "__iadd__", "__radd__"),
    "sub": ("__sub__", "__isub__"),
    "mul": ("__mul__", "__imul__", "__rmul__"),
    "div": ("__truediv__", "__itruediv__", "__div__", "__idiv__"),
    "floor_divide": ("__floordiv__", "__ifloordiv__"),
    "remainder": ("__mod__", "__imod__"),
    "logical_and": ("__and__", "__iand__", "__rand__"),
    "logical_or": ("__or__", "__ior__", "__ror__"),
    "logical_xor": ("__xor__", "__ixor__", "__rxor__"),
    "logical_not": ("__invert__", "invert"),
    "gt": ("__gt__",),
    "ge": ("__ge__",),
    "lt": ("__lt__",),
    "le": ("__le__",),
    "eq": ("__eq__",),
    "ne": ("__ne__",),
    "neg": ("__neg__",),
    "abs": ("__abs__",),
    "pow": ("__pow__", "__ipow__"),
    "getitem": ("__getitem__",),
    "setitem": ("__setitem__",),
    "matmul": ("__matmul__", "__imatmul__"),
}
_REFLECTED = {
    "sub": ("__rsub__",),
    "div": ("__rtruediv__", "__rdiv__"),
    "floor_divide": ("__rfloordiv__",),
    "remainder": ("__rmod__",),
    "pow": ("__rpow__",),
    "matmul": ("__rmatmul__",),
}
_OPERATOR = {
    "div": ("truediv", "itruediv"),
    "floor_divide": ("floordiv", "ifloordiv"),
    "remainder": ("mod", "imod"),
    "logical_and": ("and_", "iand"),
    "logical_or": ("or_", "ior"),
    "logical_xor": ("xor", "ixor"),
    "logical_not": ("inv", "invert"),
    "add": ("iadd",),
    "sub": ("isub",),
    "mul": ("imul",),
}
_ARGUMENTS = {"axis": "dim", "keepdims": "keepdim", "self": "input", "x": "input", "tensor": "input"}


def _writes(python_operator: str) -> bool:
    """Whether one of Python's operators, named as the operator module does, writes in place."""
    return python_operator == "setitem" or (python_operator[0] == "i" and python_operator not in ("inv", "invert"))


@dataclass(frozen=True)
class Spelled:
    """One way to write an operation."""

    op: str
    in_place: bool = False
    reflected: bool = False


class Spelling:
    """The index from callables to operations, built from operation names and their aliases."""

    def __init__(self, operations: Mapping[str, Iterable[str]]) -> None:
        self._index: dict[Any, Spelled] = {}
        self._names: dict[str, str] = {}
        self.taught = 0  # how many operations were added since
        for op, aliases in operations.items():
            for name in (op, *aliases):
                self._names[name] = op
                self._add(op, name)

    def _add(self, op: str, name: str) -> None:
        for namespace in _NAMESPACES:
            self._put(getattr(namespace, name, None), Spelled(op, in_place=op == "setitem"))
            if namespace is not operator:
                self._put(getattr(namespace, name + "_", None), Spelled(op, in_place=True))
        for dunder in _DUNDER.get(op, ()):
            self._put(getattr(Tensor, dunder, None), Spelled(op, in_place=_writes(dunder.strip("_"))))
        for dunder in _REFLECTED.get(op, ()):
            self._put(getattr(Tensor, dunder, None), Spelled(op, reflected=True))
        for spelled in _OPERATOR.get(op, ()):
            self._put(getattr(operator, spelled), Spelled(op, in_place=_writes(spelled)))
        descriptor = getattr(Tensor, name, None)
        if descriptor is not None and not callable(descriptor):  # x.T, x.mT, x.real
            self._put(descriptor.__get__, Spelled(op))

    def _put(self, function: Any, spelled: Spelled) -> None:
        if callable(function):
            self._index.setdefault(function, spelled)

    def add(self, op: str, function: Callable[..., Any]) -> None:
        """Teach one more spelling of an operation."""
        overloads = [getattr(function, name) for name in function.overloads()] if hasattr(function, "overloads") else []
        for spelling in (function, *overloads):
            self._index[spelling] = Spelled(op)
        self.taught += 1

    def find(self, function: Callable[..., Any]) -> Spelled | None:
        """What `function` is, or None for an operation without a rule."""
        try:
            found = self._index.get(function)
        except TypeError:  # an unhashable callable has no rule
            return None
        if found is None and isinstance(function, OpOverload | OpOverloadPacket):
            space, _, name = str(function).partition(".")
            name = name.partition(".")[0]
            op = self._names.get(name) or self._names.get(name.rstrip("_"))
            if space == "aten" and op is not None:
                return Spelled(op, in_place=name.endswith("_") and not name.endswith("__"))
        return found

    @staticmethod
    def arguments(
        spelled: Spelled, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call's arguments, unswapped and under torch's own names."""
        if spelled.reflected:
            args = (args[1], args[0], *args[2:])
        return args, {
            _ARGUMENTS.get(key, key): value for key, value in kwargs.items() if key != "out" or value is not None
        }
