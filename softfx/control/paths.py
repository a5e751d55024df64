"""All paths of a call, one run each, where they are few: what it costs in the mean has no variance then.

A run follows the program's own answers from where its beginning ends, and every other answer that it might have got
there is the beginning of another path. The probability of a path is the product of those of its answers, with their
derivatives; the sum over all paths of probability times result needs no turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from softfx.control.choices import Answer, Member, Real
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
        for point in ended.points:
            if isinstance(point.choice, Real | Member):
                raise ControlError(_refusal(point, most))
            own = None
            for answer, probability in point.choice.branches():
                p = probability().reshape(())
                if answer == point.answer:
                    own = p
                elif p.item() > 0.0:
                    waiting.append(_Beginning((*ended.answers[: point.number], answer), (*factors, p)))
            if own is None:
                return None  # the program's own answer has no probability of its own: it is out of the range
            factors.append(own)
        found.append(Weighted(ended.result, torch.stack(factors).prod() if factors else None))
    return found


def _refusal(point: Point, most: int) -> str:
    where = point.decision.location
    why = (
        "a real number is read: it has infinitely many values"
        if isinstance(point.choice, Real)
        else "the elements of a mask are decisions: it has as many values as there are masks"
    )
    return (
        f"softfx: exact = {most} at {where.file}:{where.line}, where {why}, and not all paths can be run. Legal is "
        "samples = N alone. Take that, or keep the site."
    )
