"""What Python is given at a call beside tensors, by which it may decide without a read that anybody sees.

A flag among the arguments, or an attribute of a module, sends a program another way, where it may write a buffer, draw
random numbers, or call what is guarded. So what runs have shown holds for calls that are given the same.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from enum import Enum
from typing import Any

import torch

from softfx.capture.held import HeldState
from softfx.control.light import Shown

__all__ = ["ShownByGiven"]

_MOST = 64  # kinds of calls that are remembered
_OFTEN = 3  # calls in a row at each of which a number is another one: it counts, or measures, and tells no kinds apart
_NUMBERS = frozenset({int, float})
_SIMPLE = frozenset({bool, str, type(None), torch.dtype, *_NUMBERS})

_Place = tuple[int, Any]


class ShownByGiven:
    """What runs of a target have shown, by what its calls were given; a copy of the target begins anew."""

    def __init__(self) -> None:
        self._shown: OrderedDict[Hashable, Shown] = OrderedDict()
        self._last: dict[_Place, object] = {}
        self._changes: Counter[_Place] = Counter()

    def __reduce__(self) -> tuple[type[ShownByGiven], tuple[()]]:
        return ShownByGiven, ()

    def of(self, leaves: Iterable[Any], held: HeldState) -> Shown:
        """What is shown for a call of those arguments, on objects in that state."""
        key = tuple(item for item in _values(leaves, held) if not self._counts(*item))
        shown = self._shown.pop(key, None) or Shown()
        self._shown[key] = shown  # the last that was asked for
        if len(self._shown) > _MOST:
            self._shown.popitem(last=False)
        return shown

    def _counts(self, place: _Place, value: object) -> bool:
        """Return True for a number that was another one at each of the last calls."""
        if type(value) not in _NUMBERS:
            return False
        changes = self._changes[place]
        if self._last.get(place, value) != value:
            self._changes[place] = changes = changes + 1
        elif changes < _OFTEN:
            self._changes[place] = 0
        self._last[place] = value
        return changes >= _OFTEN


def _values(leaves: Iterable[Any], held: HeldState) -> Iterator[tuple[_Place, object]]:
    """The flags, words and numbers among the arguments of a call, and among the attributes of what it reaches."""
    for number, leaf in enumerate(leaves):
        if type(leaf) in _SIMPLE or isinstance(leaf, Enum):
            yield (-1, number), leaf
    for number, state in enumerate(held.objects):
        for name, value in state.attributes.items():
            if type(value) in _SIMPLE or isinstance(value, Enum):
                yield (number, name), value
