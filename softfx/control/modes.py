"""The function modes of a run whose reads are watched: one beside the interpreter's own, one for bare runs.

Each read of a value is answered by the run's path, each call with integers or bools in its result is noted, and each
tensor that is about to be written is saved, so that the run can be made again. A run that makes many more calls than
the first one does not end, as far as anyone can tell; it is left by an exception that the program cannot catch.
"""

from __future__ import annotations

import enum
import sys
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor

from softfx import ops
from softfx.control.blend import BLEND, blended
from softfx.control.masks import MASKED, MOST_MEMBERS, mask_place
from softfx.control.path import Answer, Path, Reader, Reading
from softfx.control.slots import READ_CODE, READERS, original_of
from softfx.control.traceless import Writes
from softfx.decisions.site import Decision
from softfx.interpreter.host import HostMode
from softfx.interpreter.inline import CONTROL_FLOW_CODES, inlined
from softfx.interpreter.torch_mode import FastMode, FullMode
from softfx.locations import instruction
from softfx.ops import control_flow
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.operation import Effect
from softfx.ops.spelling import INDEX
from softfx.ops.trees import tensors_in
from softfx.rules.refusals import is_discrete
from softfx.torch_private import HigherOrderOperator

__all__ = ["Bare", "TooManyCalls", "Watch", "WatchedFast", "WatchedFull", "is_way", "reading_of"]


class TooManyCalls(BaseException):
    """A run makes many more calls than the first one. It is no Exception, which a program may catch."""


class _Kind(enum.Enum):
    PLAIN = enum.auto()
    READS = enum.auto()
    WRITES = enum.auto()
    SHAPES = enum.auto()  # a mask may give its result the shape
    INSIDE = enum.auto()  # its body runs on under the mode


_KINDS: dict[Any, _Kind] = {}
_READS = Effect.BRANCHES | Effect.READS_NUMBER
_WRITES = Effect.WRITES_FIRST | Effect.WRITES_OTHERS
_READINGS: dict[type, Reading] = {bool: "branch", int: "read_integer", float: "read_real"}


def reading_of(own: Any, tensor: Tensor, path: Path) -> Reading | None:
    """What a read of a tensor gave Python; a whole number is one also where a float is made of it."""
    reading = _READINGS.get(type(own))
    if reading == "read_real" and own.is_integer() and (is_discrete(tensor) or path.provenance.get(tensor) is not None):
        return "read_integer"
    return reading


def is_way(answer: Answer) -> bool:
    """Return True for an answer that a program may go on by; real numbers are too many for that."""
    return type(answer) is not float or answer.is_integer()


def _kind(func: Function) -> _Kind:
    spelled = INDEX.of(func)
    if spelled.operation.effect & _READS:
        return _Kind.READS
    if spelled.operation in MASKED:
        return _Kind.SHAPES
    if spelled.in_place or spelled.operation.effect & _WRITES:
        return _Kind.WRITES
    return _Kind.PLAIN if inlined(func) is None else _Kind.INSIDE


class Watch:
    """Mixin before a mode that makes the calls of a run.

    path: answers what is read.
    writes: keeps what is written.
    calls, most: how many calls were made, and how many may be.
    reader, code: the instruction that read last, and the code that it is of.
    finds_members: masks may be sites whose elements are decisions.
    notes: what integers and bools are made of is noted.
    readers, codes, followed, alien: what it shows to light runs (softfx.control.light): alien is what these cannot
        follow. wrote: it wrote a tensor.
    """

    path: Path
    writes: Writes
    calls: int = 0
    most: float = float("inf")
    notes: bool = True
    finds_members: bool = False
    reader: Reader = (0, 0)
    code: CodeType
    alien: bool = False
    wrote: bool = False
    _operation = control_flow.branch

    def begin(self, path: Path, writes: Writes, most: float) -> None:
        """Say what the run is for, before it starts."""
        self.path, self.writes, self.most, self.notes = path, writes, most, path.looks
        self.readers: dict[Reader, bool] = {}
        self.codes: dict[int, CodeType] = {}
        self.followed: set[tuple[Reader, Answer]] = set()
        writes.begin()

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        func = original_of(func)
        kind = _KINDS.get(func)
        if kind is None:
            kind = _KINDS[func] = _kind(func)
            if kind is _Kind.PLAIN:
                _PLAIN.add(func)
        self.calls += 1
        if self.calls > self.most:
            raise TooManyCalls
        make: Any = super().__torch_function__  # type: ignore[misc]  # of the mode that it is mixed into
        if kind is _Kind.SHAPES:
            args = self._decided(func, args)
            kind = _Kind.PLAIN
        if kind is _Kind.PLAIN and not kwargs:
            result = make(func, types, args)
            if self.notes:
                self.path.provenance.note(func, args, {}, result)
            self.writes.note(func, args, result)
            return result
        if kind is _Kind.READS:
            self._reads_here(sys._getframe(1))
            self._operation = CONTROL_FLOW_CODES.get(self.code, control_flow.branch)
            return self._read(func, types, args, kwargs or {}, make)
        if kind is _Kind.INSIDE:
            if isinstance(func, HigherOrderOperator):
                self.alien = True
                if func.__name__ == "cond" and (decision := self._blends(args[0])) is not None:
                    return blended(self.path, self, decision, args)  # type: ignore[arg-type]  # a mode is mixed in
            return make(func, types, args, kwargs)
        result = self._written(kind, func, types, args, kwargs or {}, make)
        self.writes.note(func, (*args, *(kwargs or {}).values()), result)
        return result

    def _reads_here(self, frame: FrameType) -> None:
        """Note the instruction that reads: the innermost one that is not of a mode."""
        while frame.f_code in _BETWEEN:
            frame = frame.f_back or frame
        self.code = frame.f_code
        self.codes[id(self.code)] = self.code
        self.reader = id(self.code), instruction(frame)

    def _blends(self, pred: Any) -> Decision | None:
        """The decision about a torch.cond both of whose branches are to be run."""
        is_planned = self.path.numbers is None and not self.path.keeps
        if is_planned or not isinstance(pred, Tensor) or self.path.provenance.get(pred) is None:
            return None
        self._reads_here(sys._getframe(2))
        self._operation = control_flow.cond
        decision = self.path.site("branch", pred)
        return decision if decision is not None and decision.resolved.estimator == BLEND else None

    def _decided(self, func: Function, args: Args) -> Args:
        """The arguments with a mask whose elements are decisions, where a site has them so.

        The mask is a new one: its elements' derivatives are those of turns, and of no shadow beside it.
        """
        if not self.finds_members or self.path.is_paused:
            return args
        place = mask_place(func, args)
        if place is None:
            return args
        mask = args[place]
        self._reads_here(sys._getframe(2))
        decision = self.path.site("membership", mask)
        if decision is None:
            return args
        self.alien = True
        if mask.numel() > MOST_MEMBERS:
            self.path.conditions.seen(decision).unknown[f"a mask of more than {MOST_MEMBERS} elements is"] += 1
            return args
        return _with_members(args, place, self.path.members(mask, decision))

    def _as_decided(self, func: Function, args: Args) -> Args:
        """The arguments of a write into the places of a mask, as that was decided where it was read before."""
        if INDEX.of(func).operation is not ops.setitem or not isinstance(args[1], Tensor) or self.path.is_paused:
            return args
        answer = self.path.answered(args[1]) if args[1].dtype is torch.bool else None
        return args if answer is None else _with_members(args, 1, answer)

    def _saved(self, tensor: Tensor) -> None:
        """A tensor is about to be written."""
        if not self.wrote:
            self.wrote = self.path.provenance.writes = True
            self.path.provenance.settle()
        was_there = self.writes.save(tensor)
        self.alien = self.alien or was_there

    def _written(self, kind: _Kind, func: Function, types: Any, args: Args, kwargs: Kwargs, make: Function) -> Result:
        """A call that may write its operands, or a tensor given as out=, or draw from a generator of its own."""
        out = kwargs.get("out")
        args = self._as_decided(func, args)
        if isinstance(generator := kwargs.get("generator"), torch.Generator):
            self.writes.save_generator(generator)
            self.alien = True
        if kind is _Kind.WRITES or kwargs.get("inplace"):
            others = INDEX.of(func).operation.effect & Effect.WRITES_OTHERS
            for tensor in tensors_in((args, kwargs) if others else args[:1]):
                self._saved(tensor)
        for tensor in tensors_in(out):
            self._saved(tensor)
        written = self.notes and kind is _Kind.WRITES and bool(args) and isinstance(args[0], Tensor)
        noted = written and (is_discrete(args[0]) or self.path.provenance.knows_one(args))
        target = args[0] if noted else None
        self.alien = self.alien or target is not None
        before = None if target is None else self.path.provenance.before_write(target)
        result = make(func, types, args, kwargs)
        if not self.notes:
            return result
        if kind is _Kind.WRITES and not written:  # into a list of tensors
            self.alien = True
            for tensor in tensors_in(args[:1]):
                self.path.provenance.discard(tensor)
        if target is not None and before is not None:
            self.path.provenance.after_write(before, func, args, kwargs)
        elif out is None:
            self.path.provenance.note(func, args, kwargs, result)
        return result

    def _read(self, func: Function, types: Any, args: Args, kwargs: Kwargs, make: Function) -> Result:
        """A value that Python reads: the program's own, or what the path answers."""
        operation = INDEX.of(func).operation
        own = make(func, types, args, kwargs)
        self.alien = self.alien or func not in READERS
        if operation is ops.equal or operation is ops.allclose:
            return self._compared(operation is ops.equal, args, kwargs, own)
        if operation is ops.tolist and isinstance(own, list):
            return self._listed(args[0], own)
        reading = reading_of(own, args[0], self.path)
        if reading is None:
            self.alien = True
            return own
        answer = self.path.read(reading, args[0], own)
        informed = self.path.provenance.get(args[0]) is not None
        self.readers[self.reader] = informed or self.readers.get(self.reader, False)
        if is_way(answer):
            self.followed.add((self.reader, answer))
        return answer

    def leaves(self) -> None:
        self.alien = True

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
                reading = reading_of(item, entry, self.path)
                answer: Any = item if reading is None else self.path.read(reading, entry, item)
                found.append(answer)
        return found

    def operation_of(self, reading: Reading) -> str:
        """The name of the operation that reads now."""
        return self._operation.name if reading == "branch" else reading


def _with_members(args: Args, place: int, answer: tuple[Any, ...]) -> Args:
    """Arguments with a tensor of these elements in the place of one of them."""
    mask = args[place]
    made = torch.tensor(answer, dtype=mask.dtype, device=mask.device).reshape(mask.shape)
    return (*args[:place], made, *args[place + 1 :])


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
        if self.notes:
            self.path.provenance.note(func, args, kwargs or {}, result)
        self.writes.note(func, (*args, *kwargs.values()) if kwargs else args, result)
        return result


_BETWEEN = (Bare.__torch_function__.__code__, READ_CODE)  # frames between a mode and the program
# What is no read and no write, as far as calls have been met.
_PLAIN: set[Any] = set()
