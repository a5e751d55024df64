"""All paths of a call, one run each, where they are few: what it costs in the mean has no variance then.

A run follows the program's own answers from where its beginning ends, and every other answer that it might have got
there is the beginning of another path. The probability of a path is the product of those of its answers, with their
derivatives; the sum over all paths of probability times result needs no turns.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from softfx.control.choices import Answer, Choice, Member, Real, like
from softfx.control.path import Point, Start
from softfx.errors import ControlError
from softfx.ops.calls import Result

__all__ = ["Found", "Weighted", "all_paths"]


@dataclass(frozen=True, eq=False)
class Found:
    """A run that has ended: its result, its answers, and the points behind the given beginning."""

    result: Result
    answers: list[Answer]
    points: list[Point]


@dataclass(frozen=True, eq=False)
class Weighted:
    """The result of one path, and its probability.  # ()"""

    result: Result
    probability: Tensor | None


@dataclass(frozen=True, eq=False)
class _Beginning:
    """The first answers of paths that are still to be run, and the probability of each choice among them."""

    answers: tuple[Answer, ...] = ()
    factors: tuple[Tensor, ...] = ()


def all_paths(run: Callable[[Start], Found], most: int) -> list[Weighted] | None:
    """Every path with its probability; None where there are more than `most`.

    Raises:
        ControlError: a real number is read, of which there are infinitely many answers.
    """
    waiting, found = [_Beginning()], list[Weighted]()
    while waiting:
        if len(found) + len(waiting) > most:
            return None
        beginning = waiting.pop()
        ended = run(Start(beginning.answers))
        factors = list(beginning.factors)
        for number, group in itertools.groupby(ended.points, attrgetter("number")):
            read = list(group)
            if _ways(read, most) > most:
                return None
            own = None
            for answer, p in _branches(read):
                if answer == read[0].answer:
                    own = p
                elif p.item() > 0.0:
                    waiting.append(_Beginning((*ended.answers[:number], like(read[0].answer, answer)), (*factors, p)))
            if own is None:
                return None  # the program's own answer has no probability of its own: it is out of the range
            factors.append(own)
        found.append(Weighted(ended.result, torch.stack(factors).prod() if factors else None))
    return found


def _ways(read: Sequence[Point], most: int) -> int:
    """How many answers one read has: of a mask, whose elements are points of their own, as many as there are masks.

    Raises:
        ControlError: it is of a real number.
    """
    if isinstance(read[0].choice, Real):
        where = read[0].decision.location
        raise ControlError(
            f"softfx: exact = {most} at {where.file}:{where.line}, where a real number is read: it has infinitely many "
            "values, and not all paths can be run. Legal is samples = N alone. Take that, or keep the site."
        )
    return math.prod(len(_choice(point).branches()) for point in read)


def _branches(read: Sequence[Point]) -> Iterator[tuple[Answer, Tensor]]:
    """Every answer of one read, with its probability.  # ()"""
    whole = read[0].answer
    if not isinstance(whole, tuple):
        yield from ((answer, p().reshape(())) for answer, p in read[0].choice.branches())
        return
    places = [point.choice.place for point in read if isinstance(point.choice, Member)]
    for chosen in itertools.product(*(_choice(point).branches() for point in read)):
        answer: list[Any] = list(whole)
        for place, (element, _) in zip(places, chosen, strict=True):
            answer[place] = element
        yield tuple(answer), torch.stack([p().reshape(()) for _, p in chosen]).prod()


def _choice(point: Point) -> Choice:
    """The choice that a point is, or that its element of a mask is."""
    return point.choice.element if isinstance(point.choice, Member) else point.choice
