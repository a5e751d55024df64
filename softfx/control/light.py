"""A run under no function mode: nothing but its reads, and the calls that conditions are made by, is looked at.

It takes about as long as the program itself. It may be made where runs under a mode have shown that nothing else is to
be looked at: which instructions read, which answers they were given, by which functions conditions were made, and that
nothing was written that was there before. At the first thing that they did not show, the run is left before it goes on,
and is made again under a mode, which shows it.

    Shown       what the watched runs of a target have shown, for all its calls
    Light       one such run
    Unforeseen  why it was left
"""

from __future__ import annotations

import weakref
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor

from softfx.control.modes import READINGS, Watch
from softfx.control.path import Answer, Path, Reader
from softfx.control.provenance import Margin, sign_of
from softfx.control.slots import item, names_of
from softfx.interpreter.host import PLACE
from softfx.locations import instruction
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.torch_private import version_of

__all__ = ["Light", "Shown", "Unforeseen"]

_MOST_SURPRISES = 6  # of one kind that no watched run can show: then the target is not run lightly any more


class Unforeseen(BaseException):
    """A light run met what no watched run has shown. It is no Exception, which a program may catch."""


class Shown:
    """What the watched runs of a target have shown; a copy of the target begins anew.

    readers: the instructions that read; True for those that read what a condition was made of.
    followed: they with each answer that a run went on with, of runs that looked as closely as this or closer.
    noted: the functions that conditions were made by.
    sites: the numbers of control sites, by the instruction that reads and the rule, where that alone says which it is.
    calls, reads: of the longest run.
    fits: nothing was met that a light run cannot follow.
    draws: some run drew random numbers.
    """

    def __init__(self) -> None:
        self.readers: dict[Reader, bool] = {}
        self.followed: tuple[set[tuple[Reader, Answer]], ...] = (set(), set(), set())  # by closeness
        self.noted: set[Function] = set()
        self.sites: dict[Any, int] = {}
        self.codes: dict[int, CodeType] = {}  # kept, so that their numbers stay theirs
        self.calls = self.reads = self.surprises = 0
        self.fits, self.draws = True, False

    def __reduce__(self) -> tuple[type[Shown], tuple[()]]:
        return Shown, ()

    def learn(self, watch: Watch, closeness: int) -> None:
        """What a watched run that has ended has shown.

        closeness: 2 for one of the interpreter, 1 for one that noted what conditions are made of, 0 for another.
        """
        noted = watch.path.provenance.functions
        self.fits = self.fits and not watch.alien and all(map(names_of, noted))
        if not self.fits:
            return
        self.calls, self.reads = max(self.calls, watch.calls), max(self.reads, len(watch.path.answers))
        self.noted |= noted
        self.codes.update(watch.codes)
        for reader, informed in watch.readers.items():
            self.readers[reader] = self.readers.get(reader, False) or informed
        for followed in self.followed[: closeness + 1]:
            followed |= watch.followed

    def surprise(self) -> None:
        """Note what only a mode can follow; a target that has much of it is not run lightly."""
        self.surprises += 1
        self.fits = self.fits and self.surprises < _MOST_SURPRISES


class Light:
    """One run. It takes the place of the mode in it.

    most: how many reads there may be.
    closeness: of the runs that have shown what is followed.
    """

    def __init__(self, path: Path, shown: Shown, *, most: float, closeness: int) -> None:
        self.path, self.shown, self.most = path, shown, most
        self.owner: object = None
        self.calls, self.notes = shown.calls, path.looks
        self.reader: Reader = (0, 0)
        self.code: CodeType
        self._readers, self._followed = shown.readers, shown.followed[closeness]
        self._forced, self._answers = path.start.answers, path.answers
        self._left = len(path.start.answers)
        self._read: dict[int, tuple[Tensor, int, Answer]] = {}

    def __enter__(self) -> Light:
        self._around, PLACE.run = PLACE.run, self
        return self

    def __exit__(self, *error: object) -> None:
        PLACE.run = self._around

    def leaves(self) -> None:
        self.shown.fits = False
        raise Unforeseen

    def received(self, name: str, result: Any) -> None:
        pass

    def operation_of(self, reading: str) -> str:
        """The name of the operation that reads now."""
        return reading

    def read(self, original: Function, tensor: Tensor, frame: FrameType) -> Any:
        """What a read of a tensor gives, which `original` would make."""
        known = self._read.get(id(tensor))
        version = version_of(tensor)
        if known is not None and known[1] == version:
            return type(original(tensor))(known[2])
        reader = id(frame.f_code), instruction(frame)
        number = len(self._answers)
        if number < self._left:
            answer: Answer = self._forced[number]
        else:
            answer = self._own(original, tensor, reader) if self.notes else original(tensor)
        if type(answer) is not float and (reader, answer) not in self._followed:
            if reader not in self._readers:
                self.shown.surprise()
            raise Unforeseen
        if number >= self.most:
            raise Unforeseen
        self._answers.append(answer)
        self._read[id(tensor)] = tensor, version, answer
        return answer

    def _own(self, original: Function, tensor: Tensor, reader: Reader) -> Answer:
        """The answer of the path, behind those that are given."""
        own = original(tensor)
        reading = READINGS.get(type(own))
        if reading is None or reader not in self._readers:
            self.shown.surprise()
            raise Unforeseen
        if not tensor.is_floating_point() and self._readers[reader] and self.path.provenance.get(tensor) is None:
            self.shown.surprise()
            raise Unforeseen
        self.reader, self.code = reader, self.shown.codes[reader[0]]
        return self.path.chosen(reading, tensor, own, len(self._answers))

    def note(self, func: Function, args: Args, kwargs: Kwargs, result: Result) -> None:
        """A call that conditions are made by; of two numbers without a derivative only the difference is kept."""
        if type(result) is Tensor and not kwargs and len(args) == 2 and not torch.is_grad_enabled():
            sign = sign_of(func)
            if sign and (margin := _difference(*args)) is not None:
                self.path.provenance.entries[id(result)] = weakref.ref(result), Margin.of(margin * sign)
                return
        self.path.provenance.note(func, args, kwargs, result)


def _difference(left: Any, right: Any) -> float | None:
    """left - right, of two real numbers; None for anything else."""
    numbers = []
    reals = 0
    for operand in (left, right):
        if isinstance(operand, Tensor):
            if operand.numel() != 1 or type(number := item(operand)) is not float:
                return None
            numbers.append(number)
            reals += 1
        elif type(operand) is float or type(operand) is int:
            numbers.append(operand)
        else:
            return None
    return numbers[0] - numbers[1] if reals else None
