"""Rows of objects that are read again and compared with what they were, in C as far as it goes.

Objects are compared by identity: some twenty nanoseconds each. Only where they differ it is asked whether what differs
is equal. Names of attributes, which a dictionary finds by whether they are equal, are compared as such, a whole row at
once, and names that a dictionary lacks are looked for together: a few nanoseconds each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from operator import call, is_, itemgetter
from types import MappingProxyType
from typing import Any

import torch

__all__ = ["ATOMS", "Columns", "Entries", "Keys", "Reader", "Row", "Tables", "exact"]

ATOMS = (bool, int, float, complex, str, bytes, type(None))
_END = (object(),)  # what stands between things read
_VALUES = (*ATOMS, torch.dtype, torch.device)
Reader = Callable[[], Iterable[object]]


def exact(value: object) -> object:
    """A plain value with what tells it apart: 2 is not 2.0, nor True 1, nor 0.0 -0.0.

    >>> exact(2) == exact(2.0), exact(0.0) == exact(-0.0), exact(1) == exact(1)
    (False, False, True)
    """
    if isinstance(value, float | complex):
        return type(value), repr(value)
    return (type(value), value) if isinstance(value, ATOMS) else value


class _Compared:
    """Objects in a row, read again at each comparison."""

    def __init__(self) -> None:
        self._row: list[object] = []

    def _now(self) -> Iterator[object]:
        """The objects that there are now, in the order of the row."""
        raise NotImplementedError

    def _has_form(self) -> bool:
        """Return True if as many objects can be read as there were, each in its place."""
        return True

    def is_identical(self) -> bool:
        """Return True if they are the very same objects."""
        return self._has_form() and all(map(is_, self._now(), self._row))

    def is_same(self) -> bool:
        """Return True if they are the same objects, or others that are equal: these are known then."""
        if not self._has_form():
            return False
        if all(map(is_, self._now(), self._row)):
            return True
        now = list(self._now())
        same = len(now) == len(self._row) and all(map(_same, now, self._row))
        if same:
            self._row = now
        return same

    def renew(self) -> bool:
        """Note what there is now."""
        self._row = list(self._now())
        return True


class Row(_Compared):
    """What readers give, one after the other.

    The row ends in an end, and there is one of a reader: what is read can be neither shorter nor longer.
    """

    def __init__(self) -> None:
        super().__init__()
        self._readers: list[Reader] = []

    def add(self, reader: Reader) -> list[object]:
        """Read once and note what there was, which is returned."""
        read = list(reader())
        self._readers.append(reader)
        self._row += (*read, *_END)
        return read

    def _now(self) -> Iterator[object]:
        return chain.from_iterable(chain.from_iterable(zip(map(call, self._readers), repeat(_END), strict=False)))


class Columns:
    """Rows that are of one length by the way they are read, each compared by itself: nothing is told apart in them."""

    def __init__(self) -> None:
        self._columns: list[tuple[Reader, list[object]]] = []

    def add(self, reader: Reader) -> list[object]:
        """A row that is read once, and returned; it may be lengthened as what its reader reads is."""
        self._columns.append((reader, list(reader())))
        return self._columns[-1][1]

    def is_same(self) -> bool:
        """Return True if they are the same objects, or others that are equal: these are known then."""
        for reader, row in self._columns:
            if not all(map(is_, reader(), row)):
                now = list(reader())
                if not all(map(_same, now, row)):
                    return False
                row[:] = now
        return True


class Keys(_Compared):
    """The names in dictionaries, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._tables: list[Any] = []
        self._lengths: list[int] = []
        self._keys: list[str] = []

    def add(self, table: Any) -> None:
        """Note a dictionary of names."""
        self._tables.append(table)
        self._lengths.append(len(table))
        self._keys += table

    def _now(self) -> Iterator[object]:
        return iter(())

    def _has_form(self) -> bool:
        same_lengths = list(map(len, self._tables)) == self._lengths
        return same_lengths and list(chain.from_iterable(self._tables)) == self._keys

    def renew(self) -> bool:
        self._lengths = list(map(len, self._tables))
        self._keys = list(chain.from_iterable(self._tables))
        return super().renew()


class Tables(Keys):
    """The names and the values in dictionaries of one type, which has a method for the values."""

    def __init__(self, kind: type[dict[Any, Any]] | type[MappingProxyType[Any, Any]]) -> None:
        super().__init__()
        self._values: Callable[[Any], Iterable[object]] = kind.values

    def add(self, table: Any) -> None:
        super().add(table)
        self._row += self._values(table)

    def _now(self) -> Iterator[object]:
        return chain.from_iterable(map(self._values, self._tables))


class Entries(_Compared):
    """What dictionaries have under some keys, which may be nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._tables: list[Mapping[Any, object]] = []
        self._getters: list[Callable[[Any], tuple[object, ...]]] = []
        self._views: list[Any] = []
        self._absent: list[frozenset[object]] = []

    def add(self, table: dict[Any, object], keys: Sequence[object]) -> None:
        """Note what a dictionary has under keys."""
        present = [key for key in keys if key in table]
        absent = frozenset(keys).difference(present)
        if present:
            self._tables.append(table)
            self._getters.append(itemgetter(present[0], *present))  # of two at least, so that it gives a tuple
            self._row += self._getters[-1](table)
        if absent:
            self._views.append(dict.keys(table))
            self._absent.append(absent)

    def _now(self) -> Iterator[object]:
        return chain.from_iterable(map(call, self._getters, self._tables))

    def _has_form(self) -> bool:
        return all(map(_lacks, self._views, self._absent))

    def is_same(self) -> bool:
        try:
            return super().is_same()
        except KeyError:  # one of them is gone
            return False


_lacks: Callable[[Any, frozenset[object]], bool] = type({}.keys()).isdisjoint


def _same(new: Any, old: Any) -> bool:
    """Return True if one object may stand for the other: it is the same, or a plain value that is equal."""
    if new is old or type(new) is not type(old):
        return bool(new is old)
    if isinstance(new, tuple):
        return len(new) == len(old) and all(map(_same, new, old))
    return isinstance(new, _VALUES) and exact(new) == exact(old)
