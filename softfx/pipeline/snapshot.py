"""What objects hold at one moment, in a form that is soon compared with what they hold later.

Things of one kind make a row (`softfx.pipeline.rows`). What is to be read is not known here but in
`softfx.pipeline.reads`.
"""

from __future__ import annotations

import collections
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, filterfalse, repeat
from operator import attrgetter, is_
from typing import Any

import torch
from torch import Tensor

from softfx.pipeline.rows import ATOMS, Columns, Entries, Keys, Reader, Row, Tables, exact

__all__ = ["ABSENT", "ATOMS", "Snapshot", "exact"]

ABSENT = object()
_CONTAINERS = (list, set, collections.deque)
_OF_FUNCTIONS = ("__code__", "__defaults__", "__kwdefaults__", "__dict__")
# What code may ask of a tensor besides its elements.
_FORM = attrgetter("shape", "dtype", "device", "requires_grad")
_is_none = partial(is_, None)


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
        self._rows, self._namespaces, self._dictionaries = Row(), Entries(), Tables(dict)
        self._columns = Columns()
        self._slots: tuple[list[object], list[str]] = [], []
        self._in_slots = self._columns.add(lambda: map(getattr, *self._slots, repeat(ABSENT)))
        self._classes, self._attributes = Tables(types.MappingProxyType), Row()
        self._empty: list[Any] = []
        self._read_keys: dict[int, set[Any]] = {}
        self._tensors: list[Tensor] = []
        self._forms: list[object] = []
        self._tables: list[dict[str, Tensor | None]] = []
        self._table_names = Keys()
        self._table_gaps: list[bool] = []
        self._table_forms: list[object] = []
        self._facts: list[tuple[Callable[[], object], object]] = []
        self.fact(torch.get_default_dtype)

    def holds(self) -> bool:
        """Return True if all is as it was."""
        if any(self._empty) or not (self._namespaces.is_same() and self._dictionaries.is_same()):
            return False
        if not (self._columns.is_same() and self._rows.is_same() and self._table_names.is_same()):
            return False
        if not self._classes.is_identical() and not (self._attributes.is_same() and self._classes.renew()):
            return False
        if list(map(_FORM, self._tensors)) != self._forms or not self._tables_hold():
            return False
        return all(read() == value for read, value in self._facts)

    def _tables_hold(self) -> bool:
        values = list(chain.from_iterable(map(dict.values, self._tables)))
        if list(map(_is_none, values)) != self._table_gaps:
            return False
        return list(map(_FORM, filterfalse(_is_none, values))) == self._table_forms

    # -- what is noted -------------------------------------------------------------------------------------------

    def read(self, reader: Reader) -> list[object]:
        """What a function gives."""
        return self._rows.add(reader)

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
        if type(table) is dict and all(type(key) is str for key in table):
            self._dictionaries.add(table)
            return [*table, *table.values()]
        # A dict of another kind may load what it does not hold yet when its own methods are called.
        kinds = (collections.OrderedDict, dict)
        kind: Any = next((kind for kind in kinds if isinstance(table, kind)), type(table))
        return self.read(partial(chain, kind.keys(table), kind.values(table)))

    def entries(self, table: dict[Any, object], keys: Sequence[object]) -> list[object]:
        """What a dictionary has under some keys, which may be nothing; each is read once, whoever asks for it."""
        known = self._read_keys.setdefault(id(table), set())
        new = tuple(dict.fromkeys(key for key in keys if key not in known))
        if new:
            known.update(new)
            self._namespaces.add(table, new)  # and so the table lives as long as its id is known
        return [table.get(key, ABSENT) for key in keys]

    def instances(self, values: Sequence[object]) -> None:
        """The types of objects and the dictionaries of their attributes."""
        self._columns.add(partial(map, type, values))
        self._columns.add(partial(map, attrgetter("__dict__"), values))

    def slots(self, value: object, names: Sequence[str]) -> list[object]:
        """The attributes of an object by name."""
        self._slots[0].extend(repeat(value, len(names)))
        self._slots[1].extend(names)
        read = [getattr(value, name, ABSENT) for name in names]
        self._in_slots += read
        return read

    def of_class(self, value: type) -> list[object]:
        """The bases and attributes of a class, and of its special methods those written in Python."""
        attributes = vars(value)
        self._classes.add(attributes)
        return [*self._attributes.add(partial(_own, attributes)), *self.slots(value, ("__bases__",))]

    def functions(self, functions: Sequence[types.FunctionType]) -> None:
        """The code, the defaults and the attributes of functions."""
        for name in _OF_FUNCTIONS:
            self._columns.add(partial(map, attrgetter(name), functions))

    def cells(self, cells: Sequence[types.CellType]) -> list[object]:
        """What the variables of a closure are."""
        return self.read(partial(map, _content, cells)) if cells else []

    def tensor(self, tensor: Tensor) -> None:
        """The form of a tensor."""
        self._tensors.append(tensor)
        self._forms.append(_FORM(tensor))

    def tensors(self, table: dict[str, Tensor | None]) -> None:
        """Which tensors there are in a table by name, and their forms, but not which ones."""
        self._table_names.add(table)
        self._tables.append(table)
        values = list(table.values())
        self._table_gaps += map(_is_none, values)
        self._table_forms += map(_FORM, filterfalse(_is_none, values))

    def _is_empty(self, container: Any) -> bool:
        """Note a container that is empty; all of these are looked at as one."""
        empty = not container and type(container) in (*_CONTAINERS, dict, collections.OrderedDict)
        if empty:
            self._empty.append(container)
        return empty


def _own(attributes: Mapping[str, object]) -> Iterator[object]:
    for name, item in attributes.items():
        if not name.startswith("__") or isinstance(item, types.FunctionType):
            yield from (name, item)


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it has no value yet
        return ABSENT
