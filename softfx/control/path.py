"""A path: what one run reads of values, in order, and the answers that it gets.

Every read has a number. The answers of a run that is made again are those of the run before, up to the one that is
forced; after it they are drawn, by the same numbers u in the same order, or are the program's own. Of one tensor one
answer is given, however often it is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Literal, NamedTuple

from torch import Tensor

from softfx.control.choices import Answer, Choice, Member, like
from softfx.control.compared import Compared, logistic
from softfx.control.conditions import Conditions
from softfx.control.provenance import Margin, Provenance
from softfx.decisions.site import Decision
from softfx.torch_private import version_of
from softfx.values import TensorTable

__all__ = ["Answer", "Numbers", "Path", "Point", "Reader", "Reading", "Start", "by_site", "nowhere"]

Again = Callable[[Decision], Choice | None]
Reader = tuple[int, int]  # an instruction that reads: the number of its code, and where it stands in it

Reading = Literal["branch", "read_integer", "read_real", "membership"]


class Numbers:
    """The numbers u from [0, 1) of one draw, made when they are asked for."""

    def __init__(self, seed: int) -> None:
        self._random, self._made = Random(seed), list[float]()

    def __getitem__(self, place: int) -> float:
        while len(self._made) <= place:
            self._made.append(self._random.random())
        return self._made[place]


@dataclass(eq=False, slots=True)
class Point:
    """A choice that a run met.

    number: of the read; place: of the number u.
    again: makes the choice where the site decides more softly; None where the choice itself can.
    """

    number: int
    place: int
    decision: Decision
    choice: Choice
    answer: Answer
    again: Again | None = None

    def widen(self, decision: Decision, factor: float) -> None:
        """Have the site decide that many times as softly here, as `decision` says."""
        choice = self.choice.wider(factor) if self.again is None else self.again(decision)
        if choice is not None:
            self.decision, self.choice = decision, choice


def by_site(points: Iterable[Point]) -> dict[int, list[Point]]:
    """The points of each site, by its number."""
    found: dict[int, list[Point]] = {}
    for point in points:
        found.setdefault(point.decision.id, []).append(point)
    return found


class Start(NamedTuple):
    """The answers that a run begins with.

    answers: those of the first reads; the last of them may be another than the program's own.
    place: of the number u that the next choice is drawn by.
    """

    answers: Sequence[Answer] = ()
    place: int = 0


@dataclass(eq=False)
class Path:
    """The reads of one run.

    site: the decision about the site that reads now; None where it is kept.
    numbers: what later choices are drawn by; None leaves the program its own values.
    keeps: the points met are wanted.
    measures: so are the margins of sites that are not measured yet.
    plans: sites are met for the first time, and those of which nothing is known are told.
    """

    provenance: Provenance
    conditions: Conditions
    site: Callable[[Reading, Tensor], Decision | None]
    start: Start = field(default_factory=Start)
    numbers: Numbers | None = None
    keeps: bool = False
    measures: bool = False
    plans: bool = False
    answers: list[Answer] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    place: int = 0
    is_paused: bool = False
    _read: TensorTable[tuple[int, Answer]] = field(default_factory=TensorTable)

    def members(self, mask: Tensor, decision: Decision) -> tuple[bool | int, ...]:
        """What the elements of a mask, or of whole numbers, are, flattened, each a decision; they are one read."""
        if (known := self.answered(mask)) is not None:
            return known
        number, own = len(self.answers), tuple(mask.reshape(-1).tolist())
        if number < len(self.start.answers):
            answer = self.start.answers[number]
            assert isinstance(answer, tuple)  # the same read gave it
        else:
            answer = self._chosen_members(mask, decision, own, number) if self.looks else own
        self.answers.append(answer)
        self._read.set(mask, (version_of(mask), answer))
        return answer

    def answered(self, mask: Tensor) -> tuple[bool | int, ...] | None:
        """What the elements of a mask were said to be, where it was read before; None where it was not."""
        known = self._read.get(mask)
        if known is None or known[0] != version_of(mask):
            return None
        answer: Any = known[1]
        return answer if isinstance(answer, tuple) else (answer,)

    def _chosen_members(
        self, mask: Tensor, decision: Decision, own: tuple[bool | int, ...], number: int
    ) -> tuple[bool | int, ...]:
        if self.measures:
            self.conditions.measure("branch", mask, decision)
        choices = self.conditions.members(mask, decision)
        if choices is None:
            self.conditions.unknown(decision, has_none=True)
            return own
        self.conditions.known(decision)
        first, self.place = self.place, self.place + len(own)
        answer = own
        if self.numbers is not None:
            us = [self.numbers[first + i] for i in range(len(own))]
            answer = tuple(
                it if choice.is_certain else like(it, choice.drawn(u))
                for choice, it, u in zip(choices, own, us, strict=True)
            )
        if self.keeps:
            open_ones = [(i, choice) for i, choice in enumerate(choices) if not choice.is_certain]
            self.points += [Point(number, self.place - 1, decision, Member(c, i), answer) for i, c in open_ones]
        return answer

    def begun_again(self) -> Path:
        """A path that begins where this one is: what was read is known, and no answer has a number yet."""
        read: TensorTable[tuple[int, Answer]] = TensorTable()
        read.entries.update(self._read.entries)
        return Path(self.provenance, self.conditions, nowhere, place=self.place, _read=read)

    def begin(self, start: Start, numbers: Numbers | None, *, keeps: bool, measures: bool) -> None:
        """Say how the run goes, before it starts."""
        self.start, self.numbers, self.keeps, self.measures = start, numbers, keeps, measures
        self.place = start.place

    def begin_again(self, start: Start, numbers: Numbers | None) -> None:
        """Say how the next run goes, whose points are not wanted; of the one before nothing is left."""
        self.start, self.numbers, self.place, self.answers = start, numbers, start.place, []
        if numbers is not None:
            self.provenance.clear()
            self.conditions.clear()

    @property
    def looks(self) -> bool:
        """True if choices are made of what is read."""
        return self.keeps or self.measures or self.numbers is not None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A block that is no part of the run: what is read there is the program's own, and has no number."""
        before, self.is_paused = self.is_paused, True
        try:
            yield
        finally:
            self.is_paused = before

    def read(self, reading: Reading, tensor: Tensor, own: Answer) -> Answer:
        """The answer for a tensor of which the program reads `own`."""
        if self.is_paused:
            return own
        known = self._read.get(tensor)
        if known is not None and known[0] == version_of(tensor):
            before: Any = known[1][0] if isinstance(known[1], tuple) else known[1]
            again: Answer = type(own)(before)
            return again
        number = len(self.answers)
        if number < len(self.start.answers):
            answer = self.start.answers[number]
        else:
            answer = self.chosen(reading, tensor, own, number) if self.looks else own
        self.answers.append(answer)
        self._read.set(tensor, (version_of(tensor), answer))
        return answer

    def chosen(self, reading: Reading, tensor: Tensor, own: Answer, number: int) -> Answer:
        """The answer that is drawn for read `number`, or the program's own."""
        if reading == "branch" and self.provenance.get(tensor) is None and not self.plans:
            return own
        decision = self.site(reading, tensor)
        if decision is None:
            return own
        if self.measures:
            self.conditions.measure(reading, tensor, decision)
        if decision.resolved.estimator == "blend":  # both ways are run where it is met (softfx.control.blend)
            return own
        choice = self._choice(reading, tensor, decision)
        if choice is None or choice.is_certain:
            self.conditions.unknown(decision, choice is None)
            return own
        self.conditions.known(decision)
        return self.decided(choice, decision, own, number, partial(self._choice, reading, tensor))

    def compared(self, margin: Margin, decision: Decision, scale: float, own: Answer) -> Answer:
        """The answer of the next read, a comparison of two real numbers at a site whose unit of softness is settled."""
        if not (self.keeps and math.isfinite(margin.number)):
            return self.drawn(margin.number, decision, scale, own)
        choice, place = Compared(margin, scale), self.place
        answer = own if self.numbers is None else self.numbers[place] < choice.p
        self.points.append(Point(len(self.answers), place, decision, choice, answer))
        self.place = place + 1
        return answer

    def drawn(self, margin: float, decision: Decision, scale: float, own: Answer) -> Answer:
        """The same of a run whose points are not wanted, by the margin as a number."""
        if not math.isfinite(margin):
            self.conditions.unknown(decision, has_none=False)
            return own
        place, self.place = self.place, self.place + 1
        return own if self.numbers is None else self.numbers[place] < logistic(margin / scale)

    def decided(
        self, choice: Choice, decision: Decision, own: Answer, number: int, again: Again | None = None
    ) -> Answer:
        """The answer of read `number`, a choice: drawn, or the program's own."""
        place, self.place = self.place, self.place + 1
        drawn: Any = own if self.numbers is None else choice.drawn(self.numbers[place])
        answer: Answer = type(own)(drawn)
        if self.keeps:
            self.points.append(Point(number, place, decision, choice, answer, again))
        return answer

    def _choice(self, reading: Reading, tensor: Tensor, decision: Decision) -> Choice | None:
        if reading == "branch":
            return self.conditions.condition(tensor, decision)
        if reading == "read_integer":
            return self.conditions.whole(tensor, decision)
        return self.conditions.real(tensor, decision)


def nowhere(reading: Reading, tensor: Tensor) -> None:
    """The sites of a path that has none."""
