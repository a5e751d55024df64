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
from collections.abc import Set
from types import CodeType, FrameType
from typing import Any, NoReturn

import torch
from torch import Tensor

from softfx.control.guards import read_by
from softfx.control.jumps import Comparing, comparing, deciding
from softfx.control.modes import Watch, is_way, reading_of
from softfx.control.path import Answer, Numbers, Path, Reader, Start, nowhere
from softfx.control.provenance import Margin
from softfx.control.slots import names_of
from softfx.decisions.site import Decision
from softfx.decisions.sites import Sites
from softfx.interpreter.host import PLACE
from softfx.locations import instruction
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.torch_private import version_of

__all__ = ["BY_SLOTS", "Light", "Scales", "Shown", "Unforeseen"]

BY_SLOTS = 3  # the closeness of runs that show what is guarded
Settled = tuple[Decision | None, float | None]
Scales = dict[Reader, Settled]
_MOST_SURPRISES = 6  # of one kind that no watched run can show: then the target is not run lightly any more


class Unforeseen(BaseException):
    """A light run met what no watched run has shown. It is no Exception, which a program may catch."""


class Shown:
    """What the watched runs of a target have shown; a copy of the target begins anew.

    readers: the instructions that read; True for those that read what a condition was made of.
    followed: of each the answers that a run went on with, of runs that looked as closely as this or closer.
    noted: the functions that conditions were made by.
    instructions: the readers that frames have stood at, by the number of their code and where they stand in it.
    jumps: of comparisons that frames have stood at the readers, where nothing else sees what they give.
    sites: the numbers of control sites, by the instruction that reads and the rule, where that alone says which it is.
    siteless: the instructions at which there is none, by how many sites there were when that was looked up.
    calls, reads: of the longest run.
    fits: nothing was met that a light run cannot follow.
    fits_guards: nor one that guards its operations.
    guarded: the functions that are.
    fits_slots: each call of these was seen to be told of where they are put in place (softfx.control.guarding).
    draws: some run drew random numbers.
    writes: some run wrote a tensor, be it one of its own.
    """

    def __init__(self) -> None:
        self.readers: dict[Reader, bool] = {}
        self.followed: tuple[dict[Reader, set[Answer]], ...] = ({}, {}, {}, {})  # by closeness
        self.noted: set[Function] = set()
        self.sites: dict[Any, int] = {}
        self.siteless: dict[Any, int] = {}
        self.codes: dict[int, CodeType] = {}  # kept, so that their numbers stay theirs
        self.instructions: dict[tuple[int, int], Reader] = {}
        self.jumps: dict[tuple[int, int], Reader | None] = {}
        self.calls = self.reads = self.surprises = 0
        self.fits = self.fits_guards = self.fits_slots = True
        self.guarded: frozenset[Function] = frozenset()
        self.draws = self.writes = False

    def __reduce__(self) -> tuple[type[Shown], tuple[()]]:
        return Shown, ()

    def reader(self, frame: FrameType) -> Reader:
        """The instruction that reads, where a frame stands."""
        key = id(frame.f_code), frame.f_lasti
        if (found := self.instructions.get(key)) is None:
            self.codes[key[0]] = frame.f_code
            found = self.instructions[key] = key[0], instruction(frame)
        return found

    def jump(self, frame: FrameType) -> Reader | None:
        """The instruction that reads what the comparison gives that a frame stands at, if nothing else sees it."""
        key = id(frame.f_code), frame.f_lasti
        if key not in self.jumps:
            self.codes[key[0]] = frame.f_code
            place = read_by(frame.f_code, frame.f_lasti)
            self.jumps[key] = None if place is None else (key[0], place)
        return self.jumps[key]

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

    def learn_guards(self, light: Light, found: Set[Function]) -> None:
        """What a light run has shown whose guarded calls a mode was told of.

        found: the functions guarded in it that were not in place. Without any, slots tell as much as a mode does.
        """
        if found:
            self.guarded |= found
            self.fits_slots = all(map(names_of, self.guarded)) and self.guarded.isdisjoint(self.noted)
        else:
            for reader, answer in light.ways:
                self.followed[BY_SLOTS].setdefault(reader, set()).add(answer)

    def surprise(self) -> None:
        """Note what only a mode can follow; a target that has much of it is not run lightly."""
        self.surprises += 1
        self.fits = self.fits and self.surprises < _MOST_SURPRISES


class Light:
    """One run, or one after the other with the same closeness. It takes the place of the mode in it.

    scales: the sites of conditions that are known by the instruction alone, and the units of their softness; filled as
        they are met.
    followed: by reader the answers that it may go on with.
    left: how many of the given answers are left.
    most: how many reads there may be.
    closeness: of the runs that have shown what is followed.
    modes: function modes that the run is made under (softfx.control.guarding).
    guard: makes the calls of guarded functions that are put in place, if nothing else does.
    ways: the answers, by reader, that it was found to go on with.
    """

    def __init__(
        self, path: Path, shown: Shown, scales: Scales, sites: Sites, *, most: float, closeness: int, modes: int = 0
    ) -> None:
        self.path, self.shown, self.sites, self.most = path, shown, sites, most
        self.owner: object = None
        self.modes = modes
        self.guard: Function | None = None
        self.calls, self.notes = shown.calls, path.looks
        self.reader: Reader = (0, 0)
        self.code: CodeType
        self.scales, self.followed = scales, shown.followed[closeness]
        self.ways: set[tuple[Reader, Answer]] = set()
        self.compare: Comparing = (deciding if self.notes else comparing)(self)
        self._begin(path.start)

    def _begin(self, start: Start) -> None:
        self.left, self._given = len(start.answers), iter(start.answers)
        self._is_eager = self.path.provenance.writes = self.shown.writes
        self._read: dict[int, tuple[Tensor, int | None, Answer]] = {}  # the count of writes, where there may be any
        self.last: tuple[Tensor, Function, Args, bool] | None = None  # the condition that was made last

    def begin_again(self, start: Start, numbers: Numbers | None, most: float) -> None:
        """Say how the next run goes. What was looked up for those before stays; what they met does not."""
        self.most = most
        self.path.begin_again(start, numbers)
        self._begin(start)

    def __enter__(self) -> Light:
        self._around, PLACE.run = PLACE.run, self
        return self

    def __exit__(self, *error: object) -> None:
        PLACE.run = self._around

    def close(self) -> None:
        """No further run follows: what holds this lets go of it, so that it need not be collected as a cycle."""
        del self.compare
        self.guard, self.path.site = None, nowhere

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
        if not self.notes:
            return self._read_unnoted(original, tensor, frame)
        known = self._read.get(id(tensor))
        if known is not None and known[1] == version_of(tensor):
            return type(original(tensor))(known[2])
        if self.left:
            answer = self.next(frame)
        else:
            answer = self._own(original, tensor, frame)
            self.goes_on(answer, self.shown.reader(frame))
            self.path.answers.append(answer)
        self._read[id(tensor)] = tensor, version_of(tensor), answer
        return answer

    def _read_unnoted(self, original: Function, tensor: Tensor, frame: FrameType) -> Any:
        """The same where nothing is noted."""
        if id(tensor) in self._read:
            known = self._read[id(tensor)]
            if known[1] is None or known[1] == version_of(tensor):
                return type(original(tensor))(known[2])
        if self.left:
            answer = self.next(frame)
            self._read[id(tensor)] = tensor, version_of(tensor) if self.shown.writes else None, answer
            return answer
        answer = original(tensor)
        self.goes_on(answer, (id(frame.f_code), frame.f_lasti), frame)
        return answer

    def next(self, frame: FrameType, reader: Reader | None = None) -> Answer:
        """The next of the answers that are given. All but the last were followed by the run that gave them."""
        answer = next(self._given)
        if self.notes:
            self.path.answers.append(answer)
        self.left -= 1
        if not self.left:
            self.goes_on(answer, reader or self.shown.reader(frame))
        return answer

    def goes_on(self, answer: Answer, reader: Reader, frame: FrameType | None = None) -> None:
        """Leave the run where nothing is known of how it goes on with an answer, or where there are too many.

        frame: what stands at the reader, which is looked for then.
        """
        self.most -= 1
        if self.most < 0:
            raise Unforeseen
        if (reader, answer) in self.ways:
            return
        found = reader if frame is None else self.shown.reader(frame)
        if answer not in self.followed.get(found, ()) and is_way(answer):
            self.leave(found)
        self.ways.add((reader, answer))

    def leave(self, reader: Reader | None) -> NoReturn:
        """Leave the run at what a reader gave."""
        if reader not in self.shown.readers:
            self.shown.surprise()
        raise Unforeseen

    def leave_for_good(self) -> NoReturn:
        """Leave the run at a guarded operation that only a watched one can make: so are later ones made, too.

        One that slots tell of may be inside a function of torch's, of which a mode knows more.
        """
        if self.guard is not None:
            self.shown.fits_slots = False
        else:
            self.shown.fits_guards = False
        raise Unforeseen

    def _own(self, original: Function, tensor: Tensor, frame: FrameType) -> Answer:
        """The answer of the path, behind those that are given."""
        PLACE.run = None  # what softfx itself reads is not the program's
        try:
            key = id(frame.f_code), frame.f_lasti
            last, known = self.last, self.scales.get(key)
            provenance = self.path.provenance
            if last is not None and last[0] is tensor:
                self.last = None
                margin = provenance.margin(*last[1:])
                if known is None or margin is None:
                    self._noted(last[1], last[2], {}, tensor, last[3], margin)
            else:
                found = provenance.get(tensor)
                margin = found if isinstance(found, Margin) else None
            if known is not None and margin is not None:
                decision, scale = known
                own = original(tensor)
                if decision is None and margin.has_derivative:
                    self.leave_new_site()
                return own if decision is None or scale is None else self.path.compared(margin, decision, scale, own)
            return self._chosen(original(tensor), tensor, self.shown.reader(frame))
        finally:
            PLACE.run = self

    def leave_new_site(self) -> NoReturn:
        """Leave the run at a condition that has a derivative now, and was no site so far."""
        self.shown.surprise()
        raise Unforeseen

    def settled(self, reader: Reader) -> Settled | None:
        """The site whose condition reads a comparison of two numbers, and its unit, where an instruction says both.

        The unit of a site that is kept is None; where no site is there is none of both.
        """
        key = (*reader, "branch")
        number = self.shown.sites.get(key)
        if reader not in self.shown.readers:
            return None
        if number is None:
            if self.shown.siteless.get(key) != len(self.sites):
                return None
            self.scales[reader] = None, None
            return None, None
        decision, conditions = self.sites[number], self.path.conditions
        scale = conditions.settled_scale(decision) if decision.acts else None
        if decision.acts and scale is None:
            return None
        if decision.acts:
            conditions.known(decision)
        found = self.scales[reader] = decision, scale
        return found

    def _chosen(self, own: Answer, tensor: Tensor, reader: Reader) -> Answer:
        """The answer of the path where the instruction alone does not say which site it is."""
        reading, path = reading_of(own, tensor, self.path), self.path
        if reading is None or reader not in self.shown.readers:
            self.shown.surprise()
            raise Unforeseen
        if self.shown.readers[reader] and path.provenance.get(tensor) is None:
            self.shown.surprise()
            raise Unforeseen
        self.reader, self.code = reader, self.shown.codes[reader[0]]
        if reading == "branch" and isinstance(path.provenance.get(tensor), Margin):
            self.settled(reader)
        return path.chosen(reading, tensor, own, len(self.path.answers))

    def note(self, func: Function, args: Args, kwargs: Kwargs, result: Result) -> None:
        """A call that conditions are made by. It is kept until the next one: most are read at once, or never."""
        if self.last is not None:
            self.note_last()
        differentiable = self.path.keeps and torch.is_grad_enabled()
        if kwargs or type(result) is not Tensor or self._is_eager:
            self._noted_now(func, args, kwargs, result, differentiable)
        else:
            self.last = result, func, args, differentiable

    def note_last(self) -> None:
        """Note the call that is kept, if anybody may still read what it gave."""
        last, self.last = self.last, None
        # Who holds it beside this function, its argument of getrefcount, and the table of what was read?
        if last is not None and sys.getrefcount(last[0]) > (3 if id(last[0]) in self._read else 2):
            self._noted_now(last[1], last[2], {}, last[0], last[3])

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
