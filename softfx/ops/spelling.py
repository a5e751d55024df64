"""One canonical operation for every way to write it.

`torch.topk`, `x.topk`, `torch.Tensor.topk`, `operator.gt`, `x > y`, `F.relu`, `x.clamp_`, `1 - x` and the overloads of
aten all come here. The answer is the record of the operation, whether the spelling writes in place, and whether it
exchanges its operands. An operation that the table lacks gets a record made of what torch's dispatcher declares of it.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from softfx.ops import table
from softfx.ops.calls import Args, Function, Kwargs, Options
from softfx.ops.control_flow import CONTROL_FLOW
from softfx.ops.operation import Effect, Infix, Operation, PythonOperator, Rows
from softfx.ops.verbs import computes, draws, metadata
from softfx.torch_private import OpOverload, OpOverloadPacket, library_operator

__all__ = [
    "INDEX",
    "OLD_NAMES",
    "READ_BY",
    "SPOKEN",
    "Attribute",
    "Spelled",
    "SpellingIndex",
    "arguments",
    "attribute_of",
    "operand_first",
    "spoken",
]

_WRITING = Effect.WRITES_FIRST | Effect.WRITES_OTHERS
_SPACES: tuple[object, ...] = (torch, Tensor, F, torch.special, torch.linalg, operator)
# Python's older names for operators, which Tensor or `operator` still has.
OLD_NAMES = {"truediv": ("div",), "invert": ("inv",)}
_OLD = frozenset(name for names in OLD_NAMES.values() for name in names)
_ARGUMENTS = {"axis": "dim", "keepdims": "keepdim", "self": "input", "x": "input", "tensor": "input", "A": "input"}
# The operands of an operation in order, each by all of its names; the names in the table above stand for others, too.
_OPERANDS: dict[Operation, tuple[tuple[str, ...], ...]] = {
    table.where: (("condition",), ("input",), ("other",)),
    table.masked_select: (("input",), ("mask",)),
    table.matmul: (("input",), ("other", "mat2", "vec", "tensor")),
    table.pow: (("input",), ("exponent",)),
    table.index_put: (("input",), ("indices",), ("values",)),
    table.embedding: (("input", "indices"), ("weight",)),
    table.one_hot: (("tensor", "input"), ("num_classes",)),
    table.searchsorted: (("sorted_sequence",), ("input",)),
    table.polygamma: (("n",), ("input",)),
}
# What a reader finds in the source where an operation has no name there.
SPOKEN: dict[Operation, str] = {table.is_nonzero: "if"}
READ_BY = {"__int__": "int()", "__float__": "float()", "__complex__": "complex()", "__index__": "an index"}
SHOWN_BY = {"__format__": "a formatted string", "__repr__": "repr()", "__str__": "str()"}
_FIRST_OPERAND = (("input",),)
# The attributes by which a tensor gets other elements.
_SET = {"data": Effect.STOPS_GRADIENT, "real": Effect.NONE, "imag": Effect.NONE}
# Spellings whose arguments stand in an order of their own, with the names of these.
_ORDERS: dict[Function, tuple[str, ...]] = {
    Tensor.where: ("input", "condition", "other"),
    torch.embedding: ("weight", "input", "padding_idx", "scale_grad_by_freq", "sparse"),
    F.softmax: ("input", "dim", "_stacklevel", "dtype"),
}


def spoken(operation: Operation, function: Function) -> str | None:
    """The word that a reader finds in the source for a call of `function`, where it is not the operation's name.

    >>> spoken(table.item, Tensor.__int__), spoken(table.item, Tensor.item), spoken(table.is_nonzero, Tensor.__bool__)
    ('int()', None, 'if')
    """
    name = getattr(function, "__name__", "")
    return SPOKEN.get(operation) or READ_BY.get(name) or SHOWN_BY.get(name)


@dataclass(frozen=True)
class Spelled:
    """One way to write an operation.

    in_place: it writes its first operand.
    reflected: its two operands stand in the other order.
    order: the names of its arguments, where these stand in an order of its own.
    """

    operation: Operation
    in_place: bool = False
    reflected: bool = False
    order: tuple[str, ...] = ()

    def writes(self, kwargs: Options) -> bool:
        """Return True if a call of it writes one of its operands."""
        in_place = self.in_place or bool(kwargs.get("inplace"))
        return in_place or kwargs.get("out") is not None or bool(self.operation.effect & _WRITING)


class Attribute(NamedTuple):
    """An attribute of a tensor that is read or set."""

    name: str
    is_set: bool


class SpellingIndex:
    """The index from callables to operations."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._operations: dict[str, Operation] = {}
        self._by_function: dict[Any, Spelled] = {}
        self._by_name: dict[str, Operation] = {}
        self._derived: dict[Any, Spelled] = {}
        self._added: set[str] = set()
        self.changes = 0  # how often an operation was added or removed since
        for operation in operations:
            if operation.name in self._operations:
                raise ValueError(f"ops.table: {operation.name!r} has two records. A name is unique. Join them.")
            self._operations[operation.name] = operation
            self._index(operation)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations.values())

    def is_listed(self, operation: Operation) -> bool:
        """Return True for an operation of the table or of the user's own, and not for one made of its function."""
        return self._operations.get(operation.name) is operation

    def named(self, name: str) -> Operation:
        """The record of a canonical name."""
        return self._operations.get(name) or CONTROL_FLOW[name]

    def of(self, function: Function) -> Spelled:
        """The operation that a call of `function` is, described by torch's dispatcher where the table has none."""
        try:
            return self._by_function.get(function) or self._derived[function]
        except KeyError:
            found = self._derived[function] = self._overload(function) or _derived(function)
            return found
        except TypeError:  # an unhashable callable
            return _derived(function)

    def alias(self, function: Function, original: Function) -> None:
        """Let a function stand for another one, which it calls: a mode may be told of it in the other's place."""
        self._by_function[function] = self.of(original)

    def _index(self, operation: Operation) -> None:
        for name in (operation.name, *operation.spellings):
            if "." in name:
                self._put(operator.attrgetter(name)(torch), Spelled(operation))
                continue
            self._by_name[name] = operation
            for space in _SPACES:
                if space is operator and name in _OLD:  # operator.inv turns bits, and inverts no matrix
                    continue
                self._put(getattr(space, name, None), _in_every_spelling(operation))
                if space is not operator:
                    self._put(getattr(space, name + "_", None), Spelled(operation, in_place=True))
            descriptor = getattr(Tensor, name, None)
            if descriptor is not None and not callable(descriptor):  # x.T, x.mT, x.data
                self._put(descriptor.__get__, Spelled(operation))
        if hasattr(operator, operation.name):  # abs(x)
            self._put(getattr(Tensor, f"__{operation.name}__", None), _in_every_spelling(operation))
        if operation.python is not None:
            self._index_python(operation, operation.python)

    def _index_python(self, operation: Operation, python: PythonOperator) -> None:
        """The double-underscore methods and the functions of `operator` that Python's operator stands for."""
        for name in (python.name, *OLD_NAMES.get(python.name, ())):
            self._put(getattr(operator, name, None), _in_every_spelling(operation))
            if isinstance(python, Infix):
                self._put(getattr(Tensor, f"__i{name}__", None), Spelled(operation, in_place=True))
                reflected = Spelled(operation, reflected=not operation.commutes)
                self._put(getattr(Tensor, f"__r{name}__", None), reflected)
            self._put(getattr(Tensor, f"__{name}__", None), _in_every_spelling(operation))
        self._put(python.function, _in_every_spelling(operation))
        if isinstance(python, Infix):
            self._put(python.in_place, Spelled(operation, in_place=True))

    def _put(self, function: Any, spelled: Spelled) -> None:
        if callable(function):
            order = _ORDERS.get(function, ())
            self._by_function.setdefault(function, replace(spelled, order=order) if order else spelled)

    def _overload(self, function: Any) -> Spelled | None:
        """The operation of an overload such as torch.ops.aten.topk.default."""
        if not isinstance(function, OpOverload | OpOverloadPacket):
            return None
        space, _, name = str(function).partition(".")
        name = name.partition(".")[0]
        operation = self._by_name.get(name) or self._by_name.get(name.rstrip("_"))
        if space != "aten" or operation is None:
            return None
        return Spelled(operation, in_place=name.endswith("_") and not name.endswith("__"))

    # -- operations of the user's own ------------------------------------------------------------------------------

    def names(self) -> frozenset[str]:
        """Every canonical name and every other name of an operation."""
        return frozenset(self._operations) | frozenset(self._by_name)

    def known(self, function: Function) -> Operation | None:
        """The operation, of the table or added, that `function` or an overload of it spells; None for a new one."""
        for spelling in _overloads(library_operator(function)):
            if (spelled := self._by_function.get(spelling) or self._overload(spelling)) is not None:
                return spelled.operation
        return None

    def add(self, operation: Operation, function: Function) -> None:
        """Teach an operation that `function` calls, and all of its overloads; both are new to the index."""
        if operation.name in self.names() or self.known(function) is not None:
            raise ValueError(
                f"SpellingIndex.add: {operation.name!r} or {function!r} is known. Both are new. Look first."
            )
        self._operations[operation.name] = operation
        self._added.add(operation.name)
        for spelling in _overloads(library_operator(function)):
            self._by_function[spelling] = Spelled(operation)
        self._changed()

    def remove(self, operation: Operation) -> None:
        """Forget an operation that was added."""
        del self._operations[operation.name]
        self._added.discard(operation.name)
        for function in [f for f, spelled in self._by_function.items() if spelled.operation is operation]:
            del self._by_function[function]
        self._changed()

    def was_added(self, operation: Operation) -> bool:
        """Return True for an operation that `add` taught, and not for one of the table."""
        return operation.name in self._added

    def _changed(self) -> None:
        self._derived.clear()
        self.changes += 1


def attribute_of(function: Function) -> Attribute | None:
    """The attribute of a tensor that a call of `function` reads or sets, or None for a call of another kind.

    >>> attribute_of(torch.Tensor.shape.__get__)
    Attribute(name='shape', is_set=False)
    """
    name = getattr(function, "__name__", "")
    if name not in ("__get__", "__set__"):
        return None
    return Attribute(str(getattr(getattr(function, "__self__", None), "__name__", name)), name == "__set__")


def arguments(spelled: Spelled, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    """The arguments of a call, its operands in order and its keywords under torch's own names.

    >>> arguments(INDEX.of(Tensor.where), ("x", "condition"), {"other": "y"})
    (('condition', 'x', 'y'), {})
    """
    if spelled.reflected:
        args = (args[1], args[0], *args[2:])
    if spelled.order:
        args, kwargs = (), dict(zip(spelled.order, args, strict=False)) | kwargs
    if not kwargs:
        return args, kwargs
    named = {key: value for key, value in kwargs.items() if key != "out" or value is not None}
    for names in _OPERANDS.get(spelled.operation, _FIRST_OPERAND)[len(args) :]:
        key = next((key for key in named if key in names or _ARGUMENTS.get(key) in names), None)
        if key is None:
            break
        args = (*args, named.pop(key))
    return args, {_ARGUMENTS.get(key, key): value for key, value in named.items()}


def operand_first(spelled: Spelled, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    """The arguments of a call with its first operand in place, where the program gives all of them by name.

    >>> operand_first(INDEX.of(torch.gt), (), {"other": "y", "input": "x"})
    (('x',), {'other': 'y'})
    """
    if args or not kwargs or spelled.order:
        return args, kwargs
    names = (*_OPERANDS.get(spelled.operation, _FIRST_OPERAND)[0], "tensors")
    key = next((key for key in kwargs if key in names), None)
    if key is None:
        return args, kwargs
    return (kwargs[key],), {name: value for name, value in kwargs.items() if name != key}


def _in_every_spelling(operation: Operation) -> Spelled:
    """A spelling without a trailing underscore, which writes only where the operation does so in any case."""
    return Spelled(operation, in_place=bool(operation.effect & Effect.WRITES_FIRST))


def _overloads(function: Any) -> list[Any]:
    overloads = [getattr(function, name) for name in function.overloads()] if hasattr(function, "overloads") else []
    return [function, *overloads]


def _derived(function: Any) -> Spelled:
    """A record for an operation that the table lacks, by its name and by what torch's dispatcher declares."""
    if (attribute := attribute_of(function)) is not None:
        name = f"{attribute.name}.__set__" if attribute.is_set else attribute.name
        if attribute.is_set and attribute.name in _SET:
            return Spelled(replace(computes(name), rows=Rows.TOGETHER, effect=_SET[attribute.name]), in_place=True)
        return Spelled(metadata(name))
    name = str(getattr(function, "__name__", function))
    if isinstance(function, OpOverload):  # NAME.OVERLOAD
        name = name.partition(".")[0]
    packet = getattr(torch.ops.aten, name, None)
    overloads = _overloads(packet)[1:] if isinstance(packet, OpOverloadPacket) else []
    verb = draws if any(torch.Tag.nondeterministic_seeded in overload.tags for overload in overloads) else computes
    operation = replace(verb(name), rows=Rows.TOGETHER)
    return Spelled(operation, in_place=name.endswith("_") and not name.endswith("__"))


_RECORDS = [record for record in vars(table).values() if isinstance(record, Operation)]
_GROUPS = (table.SHAPE_QUESTIONS, table.QUESTIONS, table.HISTORY, table.AUTOGRAD)
INDEX = SpellingIndex([*_RECORDS, *(record for group in _GROUPS for record in group)])
