"""The function modes of a run whose reads are watched: one beside the interpreter's own, one for bare runs.

Each read of a value is answered by the run's path, each call with integers or bools in its result is noted, and each
tensor that is about to be written is saved, so that the run can be made again. A run that makes many more calls than
the first one does not end, as far as anyone can tell; it is left by an exception that the program cannot catch.
"""

from __future__ import annotations

import enum
import sys
from typing import Any

import torch
from torch import Tensor

from softfx import ops
from softfx.control.path import Path, Reading
from softfx.control.traceless import Writes
from softfx.interpreter.host import HostMode
from softfx.interpreter.inline import CONTROL_FLOW_CODES, inlined
from softfx.interpreter.torch_mode import FastMode, FullMode
from softfx.ops import control_flow
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.operation import Effect
from softfx.ops.spelling import INDEX
from softfx.ops.trees import tensors_in
from softfx.rules.refusals import is_discrete

__all__ = ["Bare", "TooManyCalls", "Watch", "WatchedFast", "WatchedFull"]


class TooManyCalls(BaseException):
    """A run makes many more calls than the first one. It is no Exception, which a program may catch."""


class _Kind(enum.Enum):
    PLAIN = enum.auto()
    READS = enum.auto()
    WRITES = enum.auto()
    INSIDE = enum.auto()  # its body runs on under the mode


_KINDS: dict[Any, _Kind] = {}
_READS = Effect.BRANCHES | Effect.READS_NUMBER
_WRITES = Effect.WRITES_FIRST | Effect.WRITES_OTHERS
_READINGS: dict[type, Reading] = {bool: "branch", int: "read_integer", float: "read_real"}


def _kind(func: Function) -> _Kind:
    spelled = INDEX.of(func)
    if spelled.operation.effect & _READS:
        return _Kind.READS
    if spelled.in_place or spelled.operation.effect & _WRITES:
        return _Kind.WRITES
    return _Kind.PLAIN if inlined(func) is None else _Kind.INSIDE


class Watch:
    """Mixin before a mode that makes the calls of a run.

    path: answers what is read.
    writes: keeps what is written.
    calls, most: how many calls were made, and how many may be.
    reader: the code and the instruction that read last.
    notes: what integers and bools are made of is noted.
    """

    path: Path
    writes: Writes
    calls: int = 0
    most: float = float("inf")
    notes: bool = True
    reader: tuple[Any, ...] = ()
    _operation = control_flow.branch

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        kind = _KINDS.get(func)
        if kind is None:
            kind = _KINDS[func] = _kind(func)
            if kind is _Kind.PLAIN:
                _PLAIN.add(func)
        self.calls += 1
        if self.calls > self.most:
            raise TooManyCalls
        make: Any = super().__torch_function__  # type: ignore[misc]  # of the mode that it is mixed into
        if kind is _Kind.PLAIN and not kwargs:
            result = make(func, types, args)
            if self.notes:
                self.path.provenance.note(func, args, {}, result)
            return result
        if kind is _Kind.READS:
            frame = sys._getframe(1)
            if frame.f_code is Bare.__torch_function__.__code__:
                frame = frame.f_back or frame
            self.reader = frame.f_code, frame.f_lasti
            self._operation = CONTROL_FLOW_CODES.get(frame.f_code, control_flow.branch)
            return self._read(func, types, args, kwargs or {}, make)
        if kind is _Kind.INSIDE:
            return make(func, types, args, kwargs)
        return self._written(kind, func, types, args, kwargs or {}, make)

    def _written(self, kind: _Kind, func: Function, types: Any, args: Args, kwargs: Kwargs, make: Function) -> Result:
        """A call that may write its operands, or a tensor given as out=, or draw from a generator of its own."""
        out = kwargs.get("out")
        if isinstance(generator := kwargs.get("generator"), torch.Generator):
            self.writes.save_generator(generator)
        if kind is _Kind.WRITES or kwargs.get("inplace"):
            others = INDEX.of(func).operation.effect & Effect.WRITES_OTHERS
            for tensor in tensors_in((args, kwargs) if others else args[:1]):
                self.writes.save(tensor)
        for tensor in tensors_in(out):
            self.writes.save(tensor)
        noted = self.notes and kind is _Kind.WRITES and args and is_discrete(args[0])
        target = args[0] if noted else None
        before = None if target is None else self.path.provenance.before_write(target)
        result = make(func, types, args, kwargs)
        if not self.notes:
            return result
        if target is not None:
            self.path.provenance.after_write(before, func, args, kwargs)
        elif out is None:
            self.path.provenance.note(func, args, kwargs, result)
        return result

    def _read(self, func: Function, types: Any, args: Args, kwargs: Kwargs, make: Function) -> Result:
        """A value that Python reads: the program's own, or what the path answers."""
        operation = INDEX.of(func).operation
        own = make(func, types, args, kwargs)
        if operation is ops.equal or operation is ops.allclose:
            return self._compared(operation is ops.equal, args, kwargs, own)
        if operation is ops.tolist and isinstance(own, list):
            return self._listed(args[0], own)
        reading = _READINGS.get(type(own))
        return own if reading is None else self.path.read(reading, args[0], own)

    def _compared(self, exactly: bool, args: Args, kwargs: Kwargs, own: bool) -> Result:
        """torch.equal and allclose: what all entries together say."""
        note = self.path.provenance.note
        compare: Function = torch.eq if exactly else torch.isclose
        if not self.path.looks or (exactly and args[0].shape != args[1].shape):
            return self.path.read("branch", torch.tensor(own), own)
        each = compare(*args, **kwargs)
        note(compare, args, kwargs, each)
        every = each.all()
        note(Tensor.all, (each,), {}, every)
        return self.path.read("branch", every, own)

    def _listed(self, tensor: Tensor, own: list[Any]) -> list[Any]:
        """The entries of a tensor, each a read of its own."""
        found: list[Any] = []
        for place, item in enumerate(own):
            entry = tensor[place]
            if self.notes:
                self.path.provenance.note(Tensor.__getitem__, (tensor, place), {}, entry)
            if isinstance(item, list):
                found.append(self._listed(entry, item))
            else:
                reading = _READINGS.get(type(item))
                answer: Any = item if reading is None else self.path.read(reading, entry, item)
                found.append(answer)
        return found

    def operation_of(self, reading: Reading) -> str:
        """The name of the operation that reads now."""
        return self._operation.name if reading == "branch" else reading


class WatchedFast(Watch, FastMode):
    """The interpreter's fast mode, watched."""


class WatchedFull(Watch, FullMode):
    """The interpreter's full mode, watched."""


class _Plain(HostMode):
    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        if _KINDS.get(func) is _Kind.INSIDE and (body := inlined(func)) is not None:
            with self:
                return body(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def received(self, name: str, result: Any) -> None:
        pass


class Bare(Watch, _Plain):
    """The program's own calls, watched: a run in which no other site changes a value.

    Most calls are made right here, for a run is made again many times: nothing is looked up that is not needed.
    """

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        if func not in _PLAIN:
            return super().__torch_function__(func, types, args, kwargs)
        self.calls = calls = self.calls + 1
        if calls > self.most:
            raise TooManyCalls
        if kwargs:
            if "out" in kwargs or "generator" in kwargs or "inplace" in kwargs:
                return super().__torch_function__(func, types, args, kwargs)
            result = func(*args, **kwargs)
        else:
            result = func(*args)
        if self.notes and (type(result) is not Tensor or result.dtype not in _REALS):
            self.path.provenance.note(func, args, kwargs or {}, result)
        return result


# What is no read and no write, as far as calls have been met.
_PLAIN: set[Any] = set()
_REALS = frozenset({torch.float32, torch.float64, torch.float16, torch.bfloat16})
