"""Choices: what Python reads of a value, as one of several answers, each with a probability that has a derivative.

A choice says what is drawn for a number u from [0, 1), and which turns its derivative takes: runs of the call with
another answer, whose results are weighted and summed. Probabilities are computed as numbers first; a tensor that
carries a derivative is made for those turns alone that are chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Answer", "Choice", "Count", "Distribution", "Member", "Parts", "Probable", "Real", "Turn", "Yes", "like"]

Parts = Sequence[tuple[Tensor, float]]  # tensors of one element, and a factor each
Answer = bool | int | float | tuple[bool | int, ...]  # the last of a mask, or of other elements that decide


@dataclass(eq=False, slots=True)
class Turn:
    """One term of the derivative: that of a coefficient, times a weighted sum of results.

    parts: makes the tensors whose derivatives, each times its factor, together are that of the coefficient.
    weight: how much it is expected to matter, by which turns are chosen.
    runs: the answers to run the call with, and the factor of each result.
    own: the factor of the result of the run that the choice was met in.
    """

    parts: Callable[[], Parts]
    weight: float
    runs: Sequence[tuple[Answer, float]]
    own: float


class Choice:
    """What is read at one place of a run."""

    __slots__ = ()

    @property
    def is_certain(self) -> bool:
        """True if nothing is to be chosen: the value is as it is, whatever the parameters."""
        return False

    def drawn(self, u: float) -> Answer:
        """The answer for u from [0, 1)."""
        raise NotImplementedError

    def turns(self, answer: Answer, drawn: bool) -> list[Turn]:
        """The turns of its derivative in a run that got `answer`: the drawn one, or the program's own."""
        raise NotImplementedError

    def probabilities(self) -> Sequence[float]:
        """Those of its answers, as far as they say how open it is."""
        return ()

    def wider(self, factor: float) -> Choice | None:
        """The same, that many times as soft; None where the choice alone does not say what that is."""
        return None

    @property
    def distance(self) -> float:
        """How far it is from being another one, in units of its softness: -log of the next answer's odds, or nearly."""
        return 0.0

    def branches(self) -> list[tuple[Answer, Callable[[], Tensor]]]:
        """Every answer, with its probability as a tensor; of a real number there are none."""
        raise NotImplementedError


def _between(other: Answer, answer: Answer, parts: Callable[[], Parts], p: float, rises: bool) -> Turn:
    """The turn of a choice between two answers; rises: the coefficient is the other one's probability."""
    sign = 1.0 if rises else -1.0
    return Turn(parts, p * (1.0 - p), ((other, sign),), -sign)


def _part(tensor: Callable[[], Tensor]) -> Callable[[], Parts]:
    """A coefficient that is one tensor."""
    return lambda: ((tensor(), 1.0),)


def _away(p: float) -> float:
    return -math.log(p) if p > 0.0 else math.inf


class Yes(Choice):
    """A condition that holds with a probability.

    has_derivative: the probability has one.
    is_known: it is finite.
    """

    __slots__ = ()
    has_derivative: bool
    is_known: bool

    @property
    def p(self) -> float:
        """The probability as a number."""
        raise NotImplementedError

    def probability(self) -> Tensor:
        """The same as a tensor.  # -> ()"""
        raise NotImplementedError

    def parts(self) -> Parts:
        """What its derivative is made of (see Turn)."""
        return ((self.probability(), 1.0),)

    @property
    def is_certain(self) -> bool:
        return not self.is_known

    def drawn(self, u: float) -> Answer:
        return u < self.p

    def turns(self, answer: Answer, drawn: bool) -> list[Turn]:
        if not self.has_derivative or (weight := (p := self.p) * (1.0 - p)) == 0.0:
            return []
        return [
            Turn(self.parts, weight, ((False, -1.0),), 1.0)
            if answer
            else Turn(self.parts, weight, ((True, 1.0),), -1.0)
        ]

    def probabilities(self) -> Sequence[float]:
        return (self.p,)

    @property
    def distance(self) -> float:
        return _away(min(self.p, 1.0 - self.p))

    def branches(self) -> list[tuple[Answer, Callable[[], Tensor]]]:
        return [(True, self.probability), (False, lambda: 1.0 - self.probability())]


class Probable(Yes):
    """A condition whose probability is a tensor.  # ()"""

    def __init__(self, probability: Tensor) -> None:
        self._probability, self._number = probability, float(probability.detach())
        self.has_derivative, self.is_known = probability.requires_grad, math.isfinite(self._number)

    @property
    def p(self) -> float:
        return self._number

    def probability(self) -> Tensor:
        return self._probability


@dataclass(frozen=True, eq=False)
class Distribution(Choice):
    """A whole number with a probability each.

    weights: the probabilities.  # ([n])
    numbers: those that it may be, each once.
    """

    weights: Tensor
    numbers: Sequence[int]
    certainties: Sequence[float]

    @classmethod
    def of(cls, weights: Tensor, support: Tensor) -> Distribution:
        """The distribution over a support that may name a number several times.  # ([n]), ([n])"""
        numbers, places = torch.unique(support.detach().long(), return_inverse=True)
        total = torch.zeros(numbers.shape, dtype=weights.dtype, device=weights.device).index_add(0, places, weights)
        return cls(total, numbers.tolist(), total.tolist())

    @property
    def is_certain(self) -> bool:
        return not all(map(math.isfinite, self.certainties))

    def drawn(self, u: float) -> Answer:
        left = u * sum(self.certainties)
        for number, p in zip(self.numbers, self.certainties, strict=True):
            left -= p
            if left < 0.0:
                return number
        return next(n for n, p in zip(reversed(self.numbers), reversed(self.certainties), strict=True) if p > 0.0)

    def turns(self, answer: Answer, drawn: bool) -> list[Turn]:
        if not self.weights.requires_grad:
            return []
        return [
            _between(number, answer, _part(self._probability(place)), p, rises=True)
            for place, (number, p) in enumerate(zip(self.numbers, self.certainties, strict=True))
            if number != answer and p * (1.0 - p) != 0.0
        ]

    def probabilities(self) -> Sequence[float]:
        return self.certainties

    @property
    def distance(self) -> float:
        return _away(sorted(self.certainties)[-2]) if len(self.certainties) > 1 else math.inf

    def branches(self) -> list[tuple[Answer, Callable[[], Tensor]]]:
        pairs = enumerate(zip(self.numbers, self.certainties, strict=True))
        return [(number, self._probability(place)) for place, (number, p) in pairs if p > 0.0]

    def _probability(self, place: int) -> Callable[[], Tensor]:
        return lambda: self.weights[place]


@dataclass(frozen=True, eq=False)
class Count(Choice):
    """A whole number that stands for a real one, between two neighbours.

    value: the real number.  # ()
    least, most: the bounds of what is valid.
    """

    value: Tensor
    number: float
    least: float = -math.inf
    most: float = math.inf

    @property
    def is_certain(self) -> bool:
        return not math.isfinite(self.number)

    @property
    def _floor(self) -> int:
        return math.floor(self.number)

    def drawn(self, u: float) -> Answer:
        return self._floor + (u < self.number - self._floor)

    def turns(self, answer: Answer, drawn: bool) -> list[Turn]:
        if not self.value.requires_grad or isinstance(answer, tuple):
            return []
        if drawn:
            p, above = self.number - self._floor, answer > self._floor
            other = self._floor + (not above)
            turn = _between(other, answer, _part(lambda: self.value), p, rises=not above)
            return [turn]
        up, down = (answer + 1, answer + 1 <= self.most), (answer - 1, answer - 1 >= self.least)
        sides = [(value, sign) for (value, valid), sign in ((up, 1.0), (down, -1.0)) if valid]
        if len(sides) == 2:
            return [Turn(_part(lambda: self.value), 0.25, [(value, sign / 2) for value, sign in sides], 0.0)]
        return [Turn(_part(lambda: self.value), 0.25, sides, -sides[0][1])] if sides else []

    def branches(self) -> list[tuple[Answer, Callable[[], Tensor]]]:
        low = self._floor
        pairs: list[tuple[Answer, Callable[[], Tensor]]] = [(low, lambda: 1.0 - (self.value - low))]
        return [*pairs, (low + 1, lambda: self.value - low)] if low + 1 <= self.most else pairs


@dataclass(frozen=True, eq=False)
class Real(Choice):
    """A real number, read as one from within `width` of it.

    value: the number.  # ()
    """

    value: Tensor
    number: float
    width: Callable[[], float]

    @property
    def is_certain(self) -> bool:
        return not math.isfinite(self.number)

    def drawn(self, u: float) -> Answer:
        return self.number + self.width() * (2.0 * u - 1.0)

    def turns(self, answer: Answer, drawn: bool) -> list[Turn]:
        if not self.value.requires_grad:
            return []
        h = self.width()
        runs = ((self.number + h, 0.5 / h), (self.number - h, -0.5 / h))
        return [Turn(_part(lambda: self.value), 0.25, runs, 0.0)]


def like(own: Any, other: Any) -> Any:
    """Another answer, of the type of the program's own."""
    return type(own)(other)


@dataclass(eq=False)
class Member(Choice):
    """What one element is of a mask, or of a tensor of whole numbers; the answers are those of the whole tensor.

    element: the choice that the element is; place: its number in the flattened tensor.
    """

    element: Choice
    place: int

    def turns(self, answer: Answer, drawn: bool) -> list[Turn]:
        assert isinstance(answer, tuple)  # of a mask
        i = self.place
        return [
            Turn(
                turn.parts,
                turn.weight,
                [((*answer[:i], like(answer[i], other), *answer[i + 1 :]), factor) for other, factor in turn.runs],
                turn.own,
            )
            for turn in self.element.turns(answer[i], drawn)
        ]

    def probabilities(self) -> Sequence[float]:
        return self.element.probabilities()
