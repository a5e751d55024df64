"""What objects hold at one moment, in a form that is soon compared with what they hold later.

Each thing is read by functions in C, one after the other into one row of objects, and rows are compared by identity:
some twenty nanoseconds an object. Only where they differ is it asked whether what differs is equal. What is to be read
is not known here but in `softfx.pipeline.reads`.
"""

from __future__ import annotations

import collections
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, repeat
from operator import attrgetter, call, is_
from typing import Any

import torch
from torch import Tensor

__all__ = ["ABSENT", "ATOMS", "Snapshot", "exact"]

ATOMS = (bool, int, float, complex, str, bytes, type(None))
_VALUES = (*ATOMS, torch.dtype, torch.device)
ABSENT = object()
_END = (object(),)  # what stands between things read
_CONTAINERS = (list, set, collections.deque)
_OF_FUNCTIONS = attrgetter("__code__", "__defaults__", "__kwdefaults__", "__dict__")
_ATTRIBUTES = attrgetter("__dict__")
# What code may ask of a tensor besides its elements.
_FORM = attrgetter("shape", "dtype", "device", "requires_grad")
Reader = Callable[[], Iterable[object]]
_Table = dict[str, Tensor | None]


def exact(value: object) -> object:
    """A plain value with what tells it apart: 2 is not 2.0, nor True 1, nor 0.0 -0.0.

    >>> exact(2) == exact(2.0), exact(0.0) == exact(-0.0), exact(1) == exact(1)
    (False, False, True)
    """
    if isinstance(value, float | complex):
        return type(value), repr(value)
    return (type(value), value) if isinstance(value, ATOMS) else value


class _Row:
    """What readers gave, one after the other."""

    def __init__(self) -> None:
        self._readers: list[Reader] = []
        self._row: list[object] = []

    def add(self, reader: Reader) -> list[object]:
        """Read once and note what there was, which is returned."""
        read = list(reader())
        self._readers.append(reader)
        self._row += (*read, *_END)
        return read

    def _now(self) -> Iterator[object]:
        return chain.from_iterable(chain.from_iterable(zip(map(call, self._readers), repeat(_END), strict=False)))

    def is_identical(self) -> bool:
        """Return True if the readers give the very same objects.

        The row ends in an end, and there is one of a reader: what is read can be neither shorter nor longer.
        """
        return all(map(is_, self._now(), self._row))

    def is_same(self) -> bool:
        """Return True if they give the same objects, or others that are equal: these are known then."""
        if self.is_identical():
            return True
        now = list(self._now())
        same = len(now) == len(self._row) and all(map(_same, now, self._row))
        if same:
            self._row = now
        return same

    def renew(self) -> bool:
        """Note what the readers give now."""
        self._row = list(self._now())
        return True


class Snapshot:
    """What was read of some objects. The methods that note something return the objects that were read.

    >>> numbers = [1, 2]
    >>> snapshot = Snapshot()
    >>> snapshot.items(numbers)
    [1, 2]
    >>> before = snapshot.holds()
    >>> numbers[1] = 2.0
    >>> before, snapshot.holds()
    (True, False)
    """

    def __init__(self) -> None:
        self._objects, self._classes, self._attributes = _Row(), _Row(), _Row()
        self._empty: list[Any] = []
        self._read_keys: dict[int, set[Any]] = {}
        self._tensors: list[Tensor] = []
        self._tables: list[_Table] = []
        self._forms: list[object] = []
        self._table_forms: list[object] = []
        self._facts: list[tuple[Callable[[], object], object]] = []
        self.fact(torch.get_default_dtype)

    def holds(self) -> bool:
        """Return True if all is as it was."""
        if any(self._empty) or not self._objects.is_same():
            return False
        if not self._classes.is_identical() and not (self._attributes.is_same() and self._classes.renew()):
            return False
        if list(map(_FORM, self._tensors)) != self._forms or list(_forms(self._tables)) != self._table_forms:
            return False
        return all(read() == value for read, value in self._facts)

    # -- what is noted -------------------------------------------------------------------------------------------

    def read(self, reader: Reader) -> list[object]:
        """What a function gives."""
        return self._objects.add(reader)

    def fact(self, reader: Callable[[], object]) -> None:
        """A value that is compared as such, for it is made anew each time."""
        self._facts.append((reader, reader()))

    def items(self, values: Any) -> list[object]:
        """The items of a list, a set or a deque."""
        if self._is_empty(values):
            return []
        kind: Any = next(kind for kind in _CONTAINERS if isinstance(values, kind))
        return self.read(partial(kind.__iter__, values))

    def table(self, table: Any) -> list[object]:
        """The keys and the values of a dictionary."""
        if self._is_empty(table):
            return []
        # A dict of another kind may load what it does not hold yet when its own methods are called.
        kinds = (collections.OrderedDict, dict)
        kind: Any = next((kind for kind in kinds if isinstance(table, kind)), type(table))
        return self.read(partial(chain, kind.keys(table), kind.values(table)))

    def entries(self, table: Mapping[Any, object], keys: Sequence[object]) -> list[object]:
        """What a dictionary has under some keys, which may be nothing; each is read once, whoever asks for it."""
        known = self._read_keys.setdefault(id(table), set())
        new = tuple(dict.fromkeys(key for key in keys if key not in known))
        if new:
            known.update(new)
            self.read(partial(map, table.get, new, repeat(ABSENT)))  # and so the table lives as long as its id is known
        return [table.get(key, ABSENT) for key in keys]

    def instances(self, values: Sequence[object]) -> None:
        """The types of objects and the dictionaries of their attributes."""
        self.read(partial(map, type, values))
        self.read(partial(map, _ATTRIBUTES, values))

    def slots(self, value: object, names: Sequence[str]) -> list[object]:
        """The attributes of an object by name."""
        return self.read(partial(map, getattr, repeat(value), names, repeat(ABSENT)))

    def of_class(self, value: type) -> list[object]:
        """The bases and attributes of a class, and of its special methods those written in Python."""
        attributes = vars(value)
        self._classes.add(partial(chain, attributes.keys(), attributes.values()))
        return [*self._attributes.add(partial(_own, attributes)), *self.slots(value, ("__bases__",))]

    def functions(self, functions: Sequence[types.FunctionType]) -> None:
        """The code, the defaults and the attributes of functions."""
        self.read(lambda: chain.from_iterable(map(_OF_FUNCTIONS, functions)))

    def cells(self, cells: Sequence[types.CellType]) -> list[object]:
        """What the variables of a closure are."""
        return self.read(partial(map, _content, cells))

    def tensor(self, tensor: Tensor) -> None:
        """The form of a tensor."""
        self._tensors.append(tensor)
        self._forms.append(_FORM(tensor))

    def tensors(self, table: _Table) -> None:
        """Which tensors there are in a table by name, and their forms, but not which ones."""
        self.read(table.keys)
        self._tables.append(table)
        self._table_forms += _forms([table])

    def _is_empty(self, container: Any) -> bool:
        """Note a container that is empty; all of these are looked at as one."""
        empty = not container and type(container) in (*_CONTAINERS, dict, collections.OrderedDict)
        if empty:
            self._empty.append(container)
        return empty


def _same(new: Any, old: Any) -> bool:
    """Return True if one object may stand for the other: it is the same, or a plain value that is equal."""
    if new is old or type(new) is not type(old):
        return bool(new is old)
    if isinstance(new, tuple):
        return len(new) == len(old) and all(map(_same, new, old))
    return isinstance(new, _VALUES) and exact(new) == exact(old)


def _forms(tables: Iterable[_Table]) -> Iterator[object]:
    for tensor in chain.from_iterable(table.values() for table in tables):
        yield None if tensor is None else _FORM(tensor)


def _own(attributes: Mapping[str, object]) -> Iterator[object]:
    for name, item in attributes.items():
        if not name.startswith("__") or isinstance(item, types.FunctionType):
            yield from (name, item)


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it has no value yet
        return ABSENT
