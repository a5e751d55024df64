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
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor

from softfx.control.modes import Watch, is_way, reading_of
from softfx.control.path import Answer, Path, Reader
from softfx.control.provenance import Margin
from softfx.control.slots import names_of
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
        self._ways: set[tuple[int, int, Answer]] = set()  # answers that were found to be followed
        self._forced, self._answers = path.start.answers, path.answers
        self._left = len(path.start.answers)
        self._read: dict[int, tuple[Tensor, int | None, Answer]] = {}  # the count of writes, where there may be any
        self._last: tuple[Tensor, Function, Args, bool] | None = None  # the condition that was made last
        self._is_eager = path.provenance.writes = shown.writes
        if not self._left:
            self._free()
        elif not (self.notes or shown.writes):
            self.read = self._given()  # type: ignore[method-assign, assignment]  # as many reads come by here

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
        if known is not None and known[1] == version_of(tensor):
            return type(original(tensor))(known[2])
        number = len(self._answers)
        if number >= self.most:
            raise Unforeseen
        if number < self._left:
            answer: Answer = self._forced[number]
            if number == self._left - 1:  # those before it were followed by the run that gave them
                self._check(answer, frame)
                self._free()
        else:
            answer = self._own(original, tensor, frame)
            self._check(answer, frame)
        self._answers.append(answer)
        self._read[id(tensor)] = tensor, version_of(tensor), answer
        return answer

    def _given(self) -> Callable[[Function, Tensor, FrameType], Any]:
        """What reads give at the beginning of a run that notes nothing and writes nothing: the answers, in order."""
        answers, known, left = iter(self._forced), self._read, self._left

        def read(original: Function, tensor: Tensor, frame: FrameType) -> Any:
            nonlocal left
            key = id(tensor)
            if key in known:
                return type(original(tensor))(known[key][2])
            answer = next(answers)
            known[key] = tensor, None, answer
            left -= 1
            if not left:
                self._check(answer, frame)
                self._free()
            return answer

        return read

    def _free(self) -> None:
        """Nothing is given from here on. Where nothing is noted either, only the last answer given is not one's own."""
        if not self.notes:
            self.read = self._read_freely  # type: ignore[method-assign]  # most reads come by here

    def _read_freely(self, original: Function, tensor: Tensor, frame: FrameType) -> Any:
        if id(tensor) in self._read:
            known = self._read[id(tensor)]
            if known[1] is None or known[1] == version_of(tensor):
                return type(original(tensor))(known[2])
        answer = original(tensor)
        way = id(frame.f_code), frame.f_lasti, answer
        if way not in self._ways:
            self._check(answer, frame)
            self._ways.add(way)
        self.most -= 1
        if self.most < 0:
            raise Unforeseen
        return answer

    def _check(self, answer: Answer, frame: FrameType) -> None:
        """Leave the run where nothing is known of how it goes on with an answer."""
        key = id(frame.f_code), frame.f_lasti
        followed = self._followed.get(key)
        if followed is None:
            followed = self._followed[key] = self.shown.followed[self._closeness].get(self.shown.reader(frame), set())
        if answer not in followed and is_way(answer):
            if self.shown.reader(frame) not in self.shown.readers:
                self.shown.surprise()
            raise Unforeseen

    def _own(self, original: Function, tensor: Tensor, frame: FrameType) -> Answer:
        """The answer of the path, behind those that are given."""
        PLACE.run = None  # what softfx itself reads is not the program's
        try:
            key = id(frame.f_code), frame.f_lasti
            last, known = self._last, self._scales.get(key)
            provenance = self.path.provenance
            if last is not None and last[0] is tensor:
                self._last = None
                margin = provenance.margin(*last[1:])
                if known is None or margin is None:
                    self._noted(last[1], last[2], {}, tensor, last[3], margin)
            else:
                found = provenance.get(tensor)
                margin = found if isinstance(found, Margin) else None
            if known is not None and margin is not None:
                return self.path.compared(margin, *known, original(tensor))
            return self._chosen(original(tensor), tensor, self.shown.reader(frame), key)
        finally:
            PLACE.run = self

    def _chosen(self, own: Answer, tensor: Tensor, reader: Reader, key: tuple[int, int]) -> Answer:
        """The answer of the path where the instruction alone does not say which site it is."""
        reading, path = reading_of(own, tensor, self.path), self.path
        if reading is None or reader not in self.shown.readers:
            self.shown.surprise()
            raise Unforeseen
        if self.shown.readers[reader] and path.provenance.get(tensor) is None:
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
                self._noted_now(last[1], last[2], {}, last[0], last[3])
        differentiable = self.path.keeps and torch.is_grad_enabled()
        if kwargs or type(result) is not Tensor or self._is_eager:
            self._noted_now(func, args, kwargs, result, differentiable)
        else:
            self._last = result, func, args, differentiable

    def _noted_now(self, func: Function, args: Args, kwargs: Kwargs, result: Result, differentiable: bool) -> None:
        PLACE.run = None
        try:
            self._noted(func, args, kwargs, result, differentiable)
        finally:
            PLACE.run = self

    def _noted(
        self, func: Function, args: Args, kwargs: Kwargs, result: Result, differentiable: bool,
        margin: Margin | None = None,
    ) -> None:  # fmt: skip
        """Of a comparison of two numbers the margin is kept and nothing else."""
        provenance = self.path.provenance
        if margin is None and type(result) is Tensor and not kwargs:
            margin = provenance.margin(func, args, differentiable)
        if margin is None:
            provenance.note(func, args, kwargs, result)
        else:
            provenance.entries[id(result)] = weakref.ref(result), margin
