"""The measures of the sites of one softened program: the gradient that each gets, and what it should be.

What a site should get is measured by moving its operands in the original, where they are met, by normal noise on both
sides: the loss's answers to that are the gradient of the smoothed loss, whatever the operation. Coordinates are in
units of the noise, so that columns of different units count alike.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from softfx.auditing.margins import margins_of, sigma_of
from softfx.auditing.moving import Mover, Steps
from softfx.auditing.program import Program, is_missing
from softfx.auditing.watching import Look, Watch
from softfx.decisions.evidence import Evidence
from softfx.decisions.policy import Policy
from softfx.decisions.site import Decision, SiteKey
from softfx.decisions.sites import Sites
from softfx.interpreter.call import Call
from softfx.interpreter.observer import Observer
from softfx.ops.calls import Function
from softfx.pipeline.execute import Eager

_Name = TypeVar("_Name")

__all__ = ["BLOCKS", "DRAWS", "Met", "Reference", "SiteBench", "drawn"]

BLOCKS = 32  # of a reference, each a noisy copy of it
DRAWS = 32  # of a softened gradient that draws: with fewer, pure noise seems to have a mean


@dataclass
class Met:
    """The operands of one site as the original meets them.

    sigmas: by batch and call, the standard deviation of the noise of each tensor, in its own shape; None for a tensor
        that is no operand.
    functions: by which the program calls it.
    margins: of all its calls, in softnesses.
    """

    sigmas: list[list[list[Tensor | None]]]
    functions: set[Function] = field(default_factory=set)
    margins: list[float] = field(default_factory=list)

    def of(self, place: int) -> list[Tensor]:
        """The standard deviations of a batch's operands, in order."""
        return [sigma for call in self.sigmas[place] for sigma in call if sigma is not None]

    @property
    def flat(self) -> Tensor:
        """The standard deviations of all operands as one vector, (n,)."""
        return _flat([sigma for place in range(len(self.sigmas)) for sigma in self.of(place)])


@dataclass
class Reference:
    """What the original answers where the operands of a site are moved.

    blocks: noisy copies of the gradient of the smoothed original, (blocks, n), in units of the noise.
    size: the root mean square of its answers, half the difference of the losses at both sides of a step. It is at
        least the gradient's length, and known well however many operands there are.
    """

    blocks: Tensor
    size: float


class SiteBench:
    """Measures the sites of a program.

    program: the target, its batches and its loss.
    eager: runs it softly.
    scale: of the noise, in units of each site's operands.
    narrows: the noise of decisions that are joined is less, as much as their softness is under "auto".
    """

    def __init__(self, program: Program, eager: Eager, scale: float, narrows: bool = False) -> None:
        self.program, self.eager, self.scale, self._narrows = program, eager, scale, narrows
        self._hard = Eager(Sites(Policy.load("keep")), Evidence(), eager.place)
        self._mover = Mover(program.target, eager.place)
        self._places = range(len(program.batches))

    def met(self) -> dict[SiteKey, Met]:
        """The sites that the original meets, in the order of the decisions about them."""
        found: dict[SiteKey, Met] = {}
        decisions = {decision.key: decision for decision in self.eager.sites}
        for place in self._places:
            self._run(self._hard, Look(self._looker(found, decisions, place)), place)
        return {key: found[key] for key in decisions if key in found}

    def _looker(
        self, found: dict[SiteKey, Met], decisions: dict[SiteKey, Decision], place: int
    ) -> Callable[[SiteKey, Call, list[bool]], None]:
        def look(key: SiteKey, call: Call, operands: list[bool]) -> None:
            if key not in decisions:
                return
            met = found.setdefault(key, Met([[] for _ in self._places]))
            met.functions.add(call.func)
            decision, turn = decisions[key], len(met.sigmas[place])
            if not any(operands):
                met.sigmas[place].append([])
                return
            moved = [tensor for tensor, is_one in zip(call.tensors, operands, strict=True) if is_one]
            scale = self.scale * (decision.share if self._narrows else 1.0)
            sigma = torch.as_tensor(sigma_of(call, moved, scale))
            pairs = zip(call.tensors, operands, strict=True)
            met.sigmas[place].append([_in_shape(sigma, tensor) if is_one else None for tensor, is_one in pairs])
            met.margins += margins_of(call, decision.at(turn) if decision.has_turns else decision)

        return look

    def _run(self, eager: Eager, observer: Observer, place: int) -> float:
        with torch.no_grad():
            return float(
                self.program.run(partial(eager.observed, observer, self.program.target), place, self.program.seed)
            )

    def hard_gradients(self, met: dict[SiteKey, Met]) -> dict[SiteKey, Tensor]:
        """The gradient that the original itself gives to the operands of each site, flat."""
        return self._gradients(self._hard, met, self.program.seed)[0]

    def gradients(self, met: dict[SiteKey, Met], eager: Eager | None = None) -> dict[SiteKey, Tensor]:
        """The softened gradient that the operands of each site get, (draws, n): one draw where nothing is drawn."""
        runs = drawn(lambda seed: self._gradients(eager or self.eager, met, seed)[0], self.program.seed)
        return {key: torch.stack([run[key] for run in runs]) for key in met}

    def passed(self, met: dict[SiteKey, Met]) -> dict[SiteKey, float]:
        """The length of all that each site passes on, to soft operands, too."""
        return self._gradients(self.eager, met, self.program.seed)[1]

    def _gradients(
        self, eager: Eager, met: dict[SiteKey, Met], seed: int
    ) -> tuple[dict[SiteKey, Tensor], dict[SiteKey, float]]:
        parts: dict[SiteKey, list[Tensor]] = {key: [] for key in met}
        squares: defaultdict[SiteKey, float] = defaultdict(float)
        for place in self._places:
            watch = Watch()
            with torch.enable_grad():
                loss = self.program.run(partial(eager.observed, watch, self.program.target), place, seed) / len(
                    self._places
                )
                try:
                    if loss.requires_grad:
                        _differentiate(loss)
                except RuntimeError as failure:
                    if eager is not self._hard or not is_missing(failure):
                        raise
            for key, own in parts.items():
                own += _fitting(watch.gradients[key], met[key].of(place))
                squares[key] += watch.squares[key]
        return {key: _flat(own) for key, own in parts.items()}, {key: squares[key] ** 0.5 for key in met}

    def reference(self, key: SiteKey, met: Met, pairs: int, seed: int, tick: Callable[[], None]) -> Reference:
        """The gradient of the smoothed original with respect to one site's operands.

        pairs: of calls in each block.
        tick: is called after each pair.
        """
        size, functions = len(met.flat), frozenset(met.functions)
        blocks, squares = [], 0.0
        for block in range(BLOCKS):
            generator = torch.Generator().manual_seed(seed * BLOCKS + block)
            total = torch.zeros(size, dtype=torch.float64)
            for _ in range(pairs):
                answers = []
                for place in self._places:
                    noise, steps = _steps(met.sigmas[place], generator)
                    ends = [self._end(key, functions, steps, sign, place, seed + block) for sign in (1.0, -1.0)]
                    answer = (ends[0] - ends[1]) / (2 * len(self._places))
                    answers += [z * answer for z in noise]
                    squares += answer * answer
                total += _flat(answers)
                tick()
            blocks.append(total / pairs)
        return Reference(torch.stack(blocks), (squares / (pairs * BLOCKS)) ** 0.5)

    def _end(
        self, key: SiteKey, functions: frozenset[Function], steps: Steps, sign: float, place: int, seed: int
    ) -> float:
        signed = [[None if step is None else sign * step for step in call] for call in steps]
        run = partial(self._mover.run, key, functions, signed)
        with torch.no_grad():
            return float(self.program.run(run, place, seed))

    def losses(self, eager: Eager) -> float:
        """The mean of the softened loss over the batches."""
        return sum(self._run(eager, Observer(), place) for place in self._places) / len(self._places)

    def seconds(self) -> float:
        """How long one call of the original on all batches takes, as a reference makes it."""
        nowhere = SiteKey("", "", 0, "", ())
        for _ in range(2):  # the first time it may load and compile what it needs
            started = time.perf_counter()
            for place in self._places:
                self._end(nowhere, frozenset(), [], 1.0, place, self.program.seed)
        return time.perf_counter() - started

    @property
    def hard_loss(self) -> float:
        """The mean of the original's loss over the batches."""
        return self.losses(self._hard)


def drawn(gradients: Callable[[int], dict[_Name, Tensor]], seed: int) -> list[dict[_Name, Tensor]]:
    """The gradients of one run where nothing is drawn, else of several.

    Two runs without any gradient may have drawn the same nothing: then all of them are looked at.
    """
    draws = [gradients(seed + draw) for draw in range(2)]
    if _are_alike(draws) and all(bool(gradient.any()) for gradient in draws[0].values()):
        return draws[:1]
    draws += [gradients(seed + draw) for draw in range(2, DRAWS)]
    return draws[:1] if _are_alike(draws) else draws


def _are_alike(draws: Sequence[dict[_Name, Tensor]]) -> bool:
    return all(torch.equal(gradient, draw[name]) for draw in draws[1:] for name, gradient in draws[0].items())


def _differentiate(loss: Tensor) -> None:
    """The derivative of a loss for its hooks alone: no tensor's grad is written."""
    leaves, seen, pending = [], set(), [loss.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            leaves.append(leaf)
        pending += [following for following, _ in node.next_functions]
    if leaves:
        torch.autograd.grad(loss, leaves, allow_unused=True)


def _in_shape(sigma: Tensor, operand: Tensor) -> Tensor:
    """The standard deviations of an operand's noise: entries without a finite value get none."""
    sizes = zip(reversed(sigma.shape), reversed(operand.shape), strict=False)
    if sigma.dim() > operand.dim() or not all(own in (1, size) for own, size in sizes):
        sigma = sigma.double().mean()  # there is a number for each threshold, and this is the other operand
    return torch.where(operand.detach().isfinite(), sigma.to(operand.device).double(), 0.0)


def _fitting(gradients: Sequence[Tensor | None], sigmas: Sequence[Tensor]) -> list[Tensor]:
    """A gradient for each operand, zeros where none came or the softened run went another way."""
    found = [None if place >= len(gradients) else gradients[place] for place in range(len(sigmas))]
    return [
        own.double() if own is not None and own.shape == sigma.shape else torch.zeros_like(sigma)
        for own, sigma in zip(found, sigmas, strict=True)
    ]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([torch.zeros(0, dtype=torch.float64), *(tensor.flatten().double().cpu() for tensor in tensors)])


def _steps(
    sigmas: list[list[Tensor | None]], generator: torch.Generator
) -> tuple[list[Tensor], list[list[Tensor | None]]]:
    """Normal noise for each operand in units of its standard deviation, and in its own."""
    noise: list[Tensor] = []
    steps: list[list[Tensor | None]] = []
    for call in sigmas:
        steps.append([])
        for sigma in call:
            if sigma is None:
                steps[-1].append(None)
                continue
            noise.append(torch.randn(sigma.shape, generator=generator, dtype=torch.float64))
            steps[-1].append(noise[-1].to(sigma.device) * sigma)
    return noise, steps
