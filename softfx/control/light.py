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

import sys
import weakref
from types import CodeType, FrameType
from typing import Any

from torch import Tensor

from softfx.control.modes import READINGS, Watch
from softfx.control.path import Answer, Path, Reader
from softfx.control.provenance import Made, Margin, sign_of
from softfx.control.slots import item, names_of
from softfx.decisions.site import Decision
from softfx.interpreter.host import PLACE
from softfx.locations import instruction
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.torch_private import version_of

__all__ = ["Light", "Scales", "Shown", "Unforeseen"]

Scales = dict[tuple[int, int], tuple[Decision, float]]

_MOST_SURPRISES = 6  # of one kind that no watched run can show: then the target is not run lightly any more


class Unforeseen(BaseException):
    """A light run met what no watched run has shown. It is no Exception, which a program may catch."""


class Shown:
    """What the watched runs of a target have shown; a copy of the target begins anew.

    readers: the instructions that read; True for those that read what a condition was made of.
    followed: of each the answers that a run went on with, of runs that looked as closely as this or closer.
    noted: the functions that conditions were made by.
    instructions: the readers that frames have stood at, by the number of their code and where they stand in it.
    sites: the numbers of control sites, by the instruction that reads and the rule, where that alone says which it is.
    calls, reads: of the longest run.
    fits: nothing was met that a light run cannot follow.
    draws: some run drew random numbers.
    writes: some run wrote a tensor, be it one of its own.
    """

    def __init__(self) -> None:
        self.readers: dict[Reader, bool] = {}
        self.followed: tuple[dict[Reader, set[Answer]], ...] = ({}, {}, {})  # by closeness
        self.noted: set[Function] = set()
        self.sites: dict[Any, int] = {}
        self.codes: dict[int, CodeType] = {}  # kept, so that their numbers stay theirs
        self.instructions: dict[tuple[int, int], Reader] = {}
        self.calls = self.reads = self.surprises = 0
        self.fits, self.draws, self.writes = True, False, False

    def __reduce__(self) -> tuple[type[Shown], tuple[()]]:
        return Shown, ()

    def reader(self, frame: FrameType) -> Reader:
        """The instruction that reads, where a frame stands."""
        key = id(frame.f_code), frame.f_lasti
        if (found := self.instructions.get(key)) is None:
            self.codes[key[0]] = frame.f_code
            found = self.instructions[key] = key[0], instruction(frame)
        return found

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
        self.writes = self.writes or watch.wrote
        for followed in self.followed[: closeness + 1]:
            for reader, answer in watch.followed:
                followed.setdefault(reader, set()).add(answer)

    def surprise(self) -> None:
        """Note what only a mode can follow; a target that has much of it is not run lightly."""
        self.surprises += 1
        self.fits = self.fits and self.surprises < _MOST_SURPRISES


class Light:
    """One run. It takes the place of the mode in it.

    scales: the sites of conditions that are known by the instruction alone, and the units of their softness; filled as
        they are met.
    most: how many reads there may be.
    closeness: of the runs that have shown what is followed.
    """

    def __init__(self, path: Path, shown: Shown, scales: Scales, *, most: float, closeness: int) -> None:
        self.path, self.shown, self.most = path, shown, most
        self.owner: object = None
        self.calls, self.notes = shown.calls, path.looks
        self.reader: Reader = (0, 0)
        self.code: CodeType
        self._closeness, self._scales = closeness, scales
        self._followed: dict[tuple[int, int], set[Answer]] = {}
        self._forced, self._answers = path.start.answers, path.answers
        self._left = len(path.start.answers)
        self._read: dict[int, tuple[Tensor, int, Answer]] = {}
        self._last: tuple[Tensor, Function, Args] | None = None  # the condition that was made last
        # A derivative is made when its condition is: the order of calls is that of a watched run, to the last bit.
        self._is_eager = path.keeps or shown.writes

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
        key = id(frame.f_code), frame.f_lasti
        followed = self._followed.get(key)
        if followed is None:
            followed = self._followed[key] = self.shown.followed[self._closeness].get(self.shown.reader(frame), set())
        number = len(self._answers)
        if number < self._left:
            answer: Answer = self._forced[number]
        elif self.notes:
            answer = self._own(original, tensor, frame, key)
        else:
            answer = original(tensor)
        if answer not in followed and type(answer) is not float:
            if self.shown.reader(frame) not in self.shown.readers:
                self.shown.surprise()
            raise Unforeseen
        if number >= self.most:
            raise Unforeseen
        self._answers.append(answer)
        self._read[id(tensor)] = tensor, version, answer
        return answer

    def _own(self, original: Function, tensor: Tensor, frame: FrameType, key: tuple[int, int]) -> Answer:
        """The answer of the path, behind those that are given."""
        PLACE.run = None  # what softfx itself reads is not the program's
        try:
            last, known = self._last, self._scales.get(key)
            margin: Margin | Made | None
            if last is not None and last[0] is tensor:
                self._last = None
                margin = _margin(last[1], last[2])
                if known is None or margin is None:
                    self._noted(last[1], last[2], {}, tensor)
            else:
                margin = self.path.provenance.get(tensor)
            if known is not None and isinstance(margin, Margin):
                return self.path.compared(margin, *known, original(tensor))
            return self._chosen(original(tensor), tensor, self.shown.reader(frame), key)
        finally:
            PLACE.run = self

    def _chosen(self, own: Answer, tensor: Tensor, reader: Reader, key: tuple[int, int]) -> Answer:
        """The answer of the path where the instruction alone does not say which site it is."""
        reading, path = READINGS.get(type(own)), self.path
        if reading is None or reader not in self.shown.readers:
            self.shown.surprise()
            raise Unforeseen
        is_real = tensor.is_floating_point()
        if not is_real and self.shown.readers[reader] and path.provenance.get(tensor) is None:
            self.shown.surprise()
            raise Unforeseen
        self.reader, self.code = reader, self.shown.codes[reader[0]]
        if reading == "branch" and (*reader, reading) in self.shown.sites:
            decision = path.site(reading, tensor)
            if decision is not None and (scale := path.conditions.settled_scale(tensor, decision)) is not None:
                self._scales[key] = decision, scale
        return path.chosen(reading, tensor, own, len(self._answers))

    def note(self, func: Function, args: Args, kwargs: Kwargs, result: Result) -> None:
        """A call that conditions are made by. It is kept until the next one: most are read at once, or never."""
        last = self._last
        if last is not None:
            self._last = None
            # Who holds it beside this function, its argument of getrefcount, and the table of what was read?
            if sys.getrefcount(last[0]) > (3 if id(last[0]) in self._read else 2):
                self._noted_now(last[1], last[2], {}, last[0])
        if kwargs or type(result) is not Tensor or self._is_eager:
            self._noted_now(func, args, kwargs, result)
        else:
            self._last = result, func, args

    def _noted_now(self, func: Function, args: Args, kwargs: Kwargs, result: Result) -> None:
        PLACE.run = None
        try:
            self._noted(func, args, kwargs, result)
        finally:
            PLACE.run = self

    def _noted(self, func: Function, args: Args, kwargs: Kwargs, result: Result) -> None:
        """Of a comparison of two numbers, where no derivative is wanted, the difference is kept and nothing else."""
        provenance = self.path.provenance
        if (
            type(result) is Tensor
            and not kwargs
            and not self.path.keeps
            and (margin := _margin(func, args)) is not None
        ):
            provenance.entries[id(result)] = weakref.ref(result), margin
        else:
            provenance.note(func, args, kwargs, result)


def _margin(func: Function, args: Args) -> Margin | None:
    """The margin of a comparison of two real numbers, as a number; None for another call."""
    sign = sign_of(func)
    if not sign or len(args) != 2 or (difference := _difference(*args)) is None:
        return None
    return Margin.of(difference * sign)


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
