"""y[i] += v by a soft index: what is added to the places, not a mixture of the places and what was read from them.

Python makes three calls of it: r = y[i], r + v, y[i] = r. As three, each place would become (1 - p) y + p (p . y + v);
what a program means is y + p v, whose sum grows by v. So what a look-up and one addition gave is remembered until it is
written back where it came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from softfx.interpreter.backends import Call
from softfx.values.domains import Beside, Domain, Known, Values

__all__ = ["Updates"]


@dataclass(frozen=True, eq=False)
class _Read:
    """What was looked up, and what has been added to it."""

    source: Tensor
    writes: int  # that the program had made by then
    key: tuple[Any, ...]
    addend: Any = None


@dataclass
class Updates:
    """Look-ups, sums and writes of one run."""

    values: Values
    reads: Beside[_Read] = field(default_factory=Beside)  # where a tensor was looked up
    writes: int = 0  # in place, by any call so far; tensors that are planned on count none of their own

    def met(self, call: Call) -> _Read | None:
        """A call that is about to be made: what its result will be, if it adds something to what was looked up."""
        self.writes += call.written is not None
        return self._sum(call) if call.op == "add" and self.reads.entries else None

    def noted(self, call: Call, result: Any, added: _Read | None) -> Any:
        """`result`, remembered where it is a look-up by a soft index or one plus something."""
        if isinstance(result, Tensor) and call.op in ("getitem", "add"):
            read = self._looked_up(call, result) if call.op == "getitem" else added
            for tensor in (result, call.written):
                if tensor is not None and read is not None:
                    self.reads.set(tensor, read)
        return result

    def addend(self, call: Call) -> tuple[tuple[Any, ...], Any] | None:
        """The key and what is added there, if this call writes what it read back with an addition."""
        if call.op != "setitem" or len(call.args) != 3 or not isinstance(call.args[2], Tensor):
            return None
        target, key, value = call.args
        read = self.reads.get(value)
        if read is None or read.addend is None or read.source is not target or read.writes + 1 != self.writes:
            return None
        return (read.key, read.addend) if _same(_parts(key), read.key) else None

    def _looked_up(self, call: Call, result: Tensor) -> _Read | None:
        source, key = call.args
        parts = _parts(key)
        tensors = [part for part in parts if isinstance(part, Tensor)]
        known = [self.values.known(part) for part in tensors]
        domains = {item.soft.domain for item in known if item.soft is not None}
        if not isinstance(source, Tensor) or not domains or Domain.SOFT_BOOL in domains:
            return None
        # A place that is named twice is written once. A view of the source is written with it.
        if not all(map(_once, tensors, known)) or result._base is not None or not result.is_floating_point():
            return None
        return _Read(source, self.writes, parts)

    def _sum(self, call: Call) -> _Read | None:
        """r + v or v + r of what was looked up, if nothing else was written since."""
        if len(call.args) != 2 or call.kwargs:
            return None
        reads = [self.reads.get(arg) if isinstance(arg, Tensor) else None for arg in call.args]
        for read, other, other_read in zip(reads, reversed(call.args), reversed(reads), strict=True):
            if read is not None and read.addend is None and other_read is None:
                own = call.written is not None
                return replace(read, writes=self.writes, addend=other) if read.writes + own == self.writes else None
        return None


def _once(index: Tensor, known: Known) -> bool:
    """Whether no two of the index's entries are the same place."""
    soft = known.soft
    return index.numel() == 1 or (soft is not None and soft.domain is Domain.SOFT_INDEX and soft.distinct)


def _parts(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _same(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    return len(left) == len(right) and all(
        a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and bool(a == b))
        for a, b in zip(left, right, strict=True)
    )
