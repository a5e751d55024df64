"""A call whose control flow has a derivative: its runs, one after the other, and what is made of their results.

    grad F = E_u [ derivative along the drawn path + sum_i grad p_i (f(u; b_i := True) - f(u; b_i := False)) ]

exactly, where later decisions go by the same numbers u in both runs. With samples = 0 there is no u: the path is the
program's own, and later decisions are so, too, which is biased and takes no randomness.

    Engine.call
      _hard                 the program's own path: the value, bit for bit
      _estimated            samples = 0: that path; samples = N: N drawn ones, each a run that leaves no trace
        _turned             runs with one answer forced, without gradients; their differences become the derivative
      enumerated            exact = N: all paths, where they are at most N (softfx.control.paths)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.control.choices import Answer, Turn, like
from softfx.control.draws import Stream
from softfx.control.modes import TooManyCalls
from softfx.control.path import Numbers, Path, Point, Start, by_site
from softfx.control.paths import Found, all_paths
from softfx.control.reach import come_within_reach
from softfx.control.results import flatten, leaves_of, unflatten
from softfx.control.settings import Settings
from softfx.control.slots import item
from softfx.control.traceless import Drew
from softfx.control.turns import Difference, chosen, inclusion, with_turns
from softfx.decisions.control_evidence import ControlEvidence
from softfx.ops.calls import Args, Function, Kwargs, Result

__all__ = ["Engine", "Run", "Runner"]


@dataclass(slots=True)
class Run:
    """A run that has ended.

    calls: how many calls of torch it made.
    """

    result: Result
    path: Path
    calls: int


class Runner:
    """Makes the runs of a call. softfx.pipeline.execute has the one of softened targets."""

    def first(self, function: Function, args: Args, kwargs: Kwargs, *, keeps: bool) -> Run:
        """The program's own path: what the call does. keeps: its points are wanted, and gradients are on."""
        raise NotImplementedError

    def first_again(self) -> Run:
        """The first run once more, where all that it did is undone."""
        raise NotImplementedError

    def further(self) -> AbstractContextManager[None]:
        """A block in which the call is run again.

        Raises:
            softfx.control.traceless.Drew: these runs have to be made again.
        """
        raise NotImplementedError

    def again(self, start: Start, numbers: Numbers | None, *, keeps: bool, most: float) -> Run:
        """A run that leaves no trace. keeps: it is with gradients, and its points are wanted."""
        raise NotImplementedError


@dataclass(eq=False)
class _Dropped(Exception):
    """A run that gave no result that can be compared."""

    reason: str


@dataclass(eq=False, slots=True)
class _Term:
    """What one turn is worth: by leaf of the result the difference that it makes, and how much that counts."""

    point: Point
    turn: Turn
    leaves: list[Difference | None]
    weight: float


class Engine:
    """Makes one call by its runs."""

    def __init__(self, runner: Runner, settings: Settings, evidence: ControlEvidence, random: Stream) -> None:
        self._runner, self._settings, self._evidence, self._random = runner, settings, evidence, random
        self._most = float("inf")
        self._own: tuple[list[Any], Any] = [], None  # the leaves and the structure of the program's own result

    def call(self, function: Function, args: Args, kwargs: Kwargs) -> Result:
        """The result of the call, with the derivative of its control flow."""
        settings = self._settings
        samples = settings.samples if torch.is_grad_enabled() or settings.soft else 0
        if settings.soft:
            samples = max(1, samples)
        own_path = samples == 0 and not settings.exact
        first = self._runner.first(function, args, kwargs, keeps=own_path and torch.is_grad_enabled())
        self._most = settings.limit * max(first.calls, 1)
        if samples == 0 and not torch.is_grad_enabled():
            return first.result
        try:
            with self._runner.further():
                return self._estimated(first, samples, own_path)
        except Drew as drew:
            self._random.begin_again()
            if drew.all:
                first = self._runner.first_again()
            with self._runner.further():
                return self._estimated(first, samples, own_path)

    def derived(self, run: Run, numbers: Numbers | None) -> Result:
        """The result of a run that is a part of a call, with the derivative of the points on its path."""
        self._most = self._settings.limit * max(run.calls, 1)
        with self._runner.further():
            self._own = flatten(run.result)
            values = _as_it_is(run.result)
            return self._with_own(self._turned(Run(values, run.path, run.calls), numbers), values)

    def _estimated(self, first: Run, samples: int, own_path: bool) -> Result:
        """The result with the derivative that further runs give it."""
        self._own = flatten(first.result)
        values = _as_it_is(first.result)
        if self._settings.exact and (mean := self._enumerated(first, values)) is not None:
            return mean
        if samples == 0:
            run = Run(values, first.path, first.calls)
            if not own_path:
                again = self._runner.again(Start(), None, keeps=True, most=self._most)
                run = Run(_as_it_is(again.result), again.path, again.calls)
            return self._with_own(self._turned(run, None), run.result)
        return self._mean(first.result, values, [self._drawn() for _ in range(samples)])

    def _with_own(self, made: Result, values: Result) -> Result:
        """A result with the program's own objects for the leaves that have kept their `values`."""
        own, structure = self._own
        pairs = zip(leaves_of(made), leaves_of(values), own, strict=True)
        return unflatten([mine if leaf is value else leaf for leaf, value, mine in pairs], structure)

    # -- all paths -----------------------------------------------------------------------------------------------

    def _enumerated(self, first: Run, values: Result) -> Result | None:
        """The mean over all paths, where they are few and each has a result; None otherwise."""

        def run(start: Start) -> Found:
            ended = self._again(start, None, keeps=True)
            self._alike(ended.result)
            return Found(_as_it_is(ended.result), ended.path.answers, ended.path.points)

        try:
            found = all_paths(run, self._settings.exact)
        except _Dropped as dropped:
            self._evidence.notes[f"exact: a path has no result ({dropped.reason}); paths are drawn"] = None
            return None
        if found is None:
            self._evidence.notes[f"exact: there are more than {self._settings.exact} paths; paths are drawn"] = None
            return None
        results, weights = [path.result for path in found], [path.probability for path in found]
        return self._mean(first.result, values, results, weights)

    # -- drawn paths ---------------------------------------------------------------------------------------------

    def _drawn(self) -> Result:
        """The result of one drawn path, with its derivative; of the program's own where that path has no result."""
        numbers: Numbers | None = Numbers(self._random.bits())
        self._evidence.drawn += 1
        try:
            run = self._again(Start(), numbers, keeps=torch.is_grad_enabled())
            self._alike(run.result)
        except _Dropped as dropped:
            self._evidence.replaced[dropped.reason] += 1
            numbers = None
            run = self._again(Start(), None, keeps=torch.is_grad_enabled())
        return self._turned(Run(_as_it_is(run.result), run.path, run.calls), numbers)

    def _mean(
        self, own: Result, values: Result, results: Sequence[Result], weights: Sequence[Tensor | None] = ()
    ) -> Result:
        """The mean of results, and with it the value of the program's own, unless the policy asks for softness."""
        leaves, structure = flatten(own)
        columns = zip(*(leaves_of(result) for result in results), strict=True)
        rows = zip(leaves, leaves_of(values), columns, strict=True)
        made = [self._mean_leaf(leaf, value, column, weights) for leaf, value, column in rows]
        return own if all(map(_is, made, leaves)) else unflatten(made, structure)

    def _mean_leaf(self, own: Any, value: Any, column: Sequence[Any], weights: Sequence[Tensor | None]) -> Any:
        if not _carries(own):
            self._tell(own)
            return own
        if any(weight is not None for weight in weights):
            mean = sum(leaf * weight for leaf, weight in zip(column, weights, strict=True)).to(own.dtype)
        else:
            mean = column[0] if len(column) == 1 else torch.stack(list(column)).mean(0)
        if self._settings.soft:
            return mean
        return softtorch.straight_through(value.detach(), mean) if mean.requires_grad else own

    def _tell(self, leaf: Any) -> None:
        """Say once that a result of another kind carries no derivative of control flow."""
        if isinstance(leaf, Tensor):
            kind = str(leaf.dtype).removeprefix("torch.")
        elif isinstance(leaf, bool | int | float):
            kind = f"Python {type(leaf).__name__}"
        else:
            return
        self._evidence.notes[f"a result of type {kind} carries no derivative of control flow"] = None

    # -- turns ---------------------------------------------------------------------------------------------------

    def _turned(self, run: Run, numbers: Numbers | None) -> Result:
        """The result of a run, with the derivative of the points on its path."""
        is_drawn = numbers is not None
        points = run.path.points
        for site, its in by_site(points).items():
            if not is_drawn:
                come_within_reach(its)
            probabilities = [p for point in its for p in point.choice.probabilities()]
            self._evidence.of(site).meets(probabilities, len(its))
        pairs = [(point, turn) for point in points for turn in point.choice.turns(point.answer, is_drawn)]
        if not pairs or not torch.is_grad_enabled():
            return run.result
        probabilities = inclusion([turn for _, turn in pairs], self._settings.turns)
        leaves, structure = flatten(run.result)
        terms: list[_Term] = []
        with torch.no_grad():
            for number in chosen(probabilities, self._random.random()):
                point, turn = pairs[number]
                found = self._difference(run, point, turn, leaves, numbers)
                if found is not None:
                    terms.append(_Term(point, turn, found, 1.0 / probabilities[number]))
        return self._attached(run.result, leaves, structure, terms)

    def _difference(
        self, run: Run, point: Point, turn: Turn, own: Sequence[Any], numbers: Numbers | None
    ) -> list[Difference | None] | None:
        """The weighted sum of results of one turn, leaf by leaf; None where it is dropped.

        own: the leaves of the run itself.
        """
        seen = self._evidence.of(point.decision.id)
        total: list[Difference | None] = [None] * len(own)
        try:
            for answer, factor in turn.runs:
                seen.made += 1
                _add(total, self._other(run, point, answer, numbers), factor)
            if turn.own != 0.0:  # else the result may not be finite, and does not count
                _add(total, own, turn.own)
            if not all(map(_is_finite, total)):
                raise _Dropped("the results differ by a number that is not finite")
        except _Dropped as dropped:
            seen.dropped[dropped.reason] += 1
            return None
        return total

    def _other(self, run: Run, point: Point, answer: Answer, numbers: Numbers | None) -> list[Any]:
        """The leaves of the result of a run with another answer at one point."""
        start = Start((*run.path.answers[: point.number], like(point.answer, answer)), point.place + 1)
        return self._alike(self._again(start, numbers, keeps=False).result)

    def _attached(self, result: Result, leaves: list[Any], structure: Any, terms: Sequence[_Term]) -> Result:
        """The result with the derivative of terms; what they do not change is as it was."""
        if not terms:
            return result
        coefficients = [term.turn.parts() for term in terms]
        made = []
        for place, leaf in enumerate(leaves):
            if not _carries(leaf):
                self._tell(leaf)
                made.append(leaf)
                continue
            mine = [
                (i, each) for i, term in enumerate(terms) if (each := term.leaves[place]) is not None and _counts(each)
            ]
            if not mine:
                made.append(leaf)
                continue
            heard = self._hearer([terms[i] for i, _ in mine])
            weights = [terms[i].weight for i, _ in mine]
            made.append(
                with_turns(leaf, [coefficients[i] for i, _ in mine], [each for _, each in mine], weights, heard)
            )
        return result if all(map(_is, made, leaves)) else unflatten(made, structure)

    def _hearer(self, terms: Sequence[_Term]) -> Callable[[list[float]], None]:
        """Notes by how much each site counts in a gradient."""
        sites = [(term.point.decision.id, term.turn.weight) for term in terms]

        def heard(each: list[float]) -> None:
            for (site, weight), size in zip(sites, each, strict=True):
                self._evidence.of(site).share += abs(size) * weight

        return heard

    def _alike(self, other: Result) -> list[Any]:
        """The leaves of a run's result; it is dropped if its structure or shapes are not those of the program's own."""
        own, structure = self._own
        others, found = flatten(other)
        if structure is not found and structure != found:
            raise _Dropped("a result of another structure")
        for leaf, each in zip(own, others, strict=True):
            if isinstance(leaf, Tensor) != isinstance(each, Tensor):
                raise _Dropped("a result of another structure")
            if isinstance(leaf, Tensor) and (leaf.shape != each.shape or leaf.dtype != each.dtype):
                raise _Dropped("a result of another shape")
        return others

    def _again(self, start: Start, numbers: Numbers | None, *, keeps: bool) -> Run:
        try:
            return self._runner.again(start, numbers, keeps=keeps, most=self._most)
        except TooManyCalls:
            raise _Dropped(f"more than {self._settings.limit:g} times the calls of the first run") from None
        except Exception as error:
            raise _Dropped(type(error).__name__) from error


def _as_it_is(result: Result) -> Result:
    """A result whose values stay: a run that follows puts back what this one has written."""
    leaves, structure = flatten(result)
    return unflatten([leaf.clone() if _carries(leaf) else leaf for leaf in leaves], structure)


def _is(left: object, right: object) -> bool:
    return left is right


def _carries(leaf: object) -> bool:
    """Return True for a leaf of a result that may carry a derivative."""
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _add(total: list[Difference | None], leaves: Sequence[Any], factor: float) -> None:
    """Add the values of leaves, times a factor, to a sum; of other kinds nothing."""
    for place, leaf in enumerate(leaves):
        if _carries(leaf):
            before: Any = total[place]
            value = item(leaf) if leaf.numel() == 1 else leaf.detach()
            total[place] = value * factor if before is None else before + value * factor


def _is_finite(term: Difference | None) -> bool:
    if isinstance(term, Tensor):
        return bool(term.isfinite().all())
    return term is None or math.isfinite(term)


def _counts(term: Difference) -> bool:
    """Return True for a difference that is not 0 everywhere."""
    return bool(term.any()) if isinstance(term, Tensor) else term != 0.0
