"""`audit`: is the gradient that softening gives the one that the program would have if it could be differentiated?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from softfx import torch_private
from softfx.api import soften
from softfx.auditing.agreement import agreement
from softfx.auditing.report import Audited, AuditReport, verdict_of
from softfx.capture.preserve import Preserved
from softfx.errors import TargetError, brief
from softfx.ops.calls import Options
from softfx.rules.spread import of_entries

__all__ = ["audit"]

_BLOCKS = 32  # of the reference, each a noisy copy of it
_DRAWS = 32  # of the softened gradient, where it draws: with fewer, pure noise seems to have a mean

Loss = Callable[[Any], Tensor]


def audit(
    target: Any,
    policy: Any = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Options | None = None,
    loss: Loss | None = None,
    scale: float = 0.3,
    samples: int = 512,
    seed: int = 0,
    capture: str = "auto",
    allow_unused: bool = False,
) -> AuditReport:
    """Compare the softened gradient of each parameter with a reference that needs no derivative.

    The reference is the gradient of the original's loss smoothed by normal noise on all parameters, measured by calls
    of the original at both sides of each random step (2 * samples calls). Which gradient that is depends on the noise:
    `scale` is its standard deviation, in spreads of each parameter. A verdict is one of

    - good: the cosine with the reference is at least 0.5,
    - dead: the softened gradient is exactly 0 though the program responds,
    - saturated: it is shorter than a fiftieth of the reference,
    - noisy: its draws differ by more than 3 times its mean, or its cosine is below 0.5,
    - opposed: the 95 % interval of the cosine is below 0,
    - cannot_tell: the reference is lost in its noise, or the interval is wider than 0.3 to either side.

    Args:
        target: a Module or function, as for `soften`.
        policy: as for `soften`.
        example_inputs: the arguments of the call that is measured.
        example_kwargs: its keyword arguments.
        loss: a function of the target's result, a 0-dim tensor. None is the sum of the floating results, (...), each
            element times a fixed random number; a single number is taken as it is.
        scale: the noise in spreads of each parameter; where all its entries are equal, in halves of their size.
        samples: pairs of calls, at least 64; rounded down to a multiple of 32.
        seed: of the noise, and of what the program draws.
        capture: as for `soften`.
        allow_unused: as for `soften`.

    Returns:
        The report. Its `.parameters` are the trainable parameters of a module and the inputs that require a gradient,
        or all floating inputs where there is neither.

    Raises:
        TargetError: there is nothing to audit, or the loss is no 0-dim tensor; or a number is out of its range.

    Source: smoothing by noise, Spall 1992, doi 10.1109/9.119632, Nesterov and Spokoiny 2017, doi
    10.1007/s10208-015-9296-2.

    >>> x = torch.linspace(-1, 1, 8)
    >>> report = audit(lambda x: (x > 0).float().mean(), example_inputs=(x,))
    >>> report.parameters[0].verdict
    'good'
    """
    _check_numbers(scale, samples)
    args, kwargs = tuple(example_inputs or ()), dict(example_kwargs or {})
    options: dict[str, Any] = {"capture": capture, "executor": "eager", "allow_unused": allow_unused}
    soft = soften(target, policy, example_inputs=args, example_kwargs=kwargs, **options)
    program = _Program(target, soft, args, kwargs, loss, seed)
    values = program.values
    sigmas = {name: scale * _spread(value) for name, value in values.items()}
    count = samples // _BLOCKS
    with Preserved(target):
        before = program.gradients(target, seed)
        drawn = program.drawn_gradients()
        blocks = [program.reference_block(sigmas, count, block) for block in range(_BLOCKS)]
    found = []
    for name in values:
        after = torch.stack([draw[name] for draw in drawn])
        own = torch.stack([block[name] for block in blocks])
        found.append(_audited(name, before[name], after, own, sigmas[name]))
    return AuditReport(tuple(found), scale, count * _BLOCKS, 2 * count * _BLOCKS, seed)


def _check_numbers(scale: float, samples: int) -> None:
    if not 0 < scale < math.inf:
        raise TargetError(f"audit: scale = {brief(scale)}. It is a number above 0, in spreads: 0.3 is the default.")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2 * _BLOCKS:
        raise TargetError(f"audit: samples = {brief(samples)}. It is a whole number from {2 * _BLOCKS} on.")


def _spread(value: Tensor) -> float:
    spread = of_entries(value, "entries", decided_at_zero=False)
    number = float(torch.as_tensor(spread.value).mean()) if spread is not None else 0.0
    return number if number > 0 else 1.0


def _audited(name: str, before: Tensor, draws: Tensor, blocks: Tensor, sigma: float) -> Audited:
    after = draws.mean(0)
    length = float(after.norm())
    noise = _noise(draws)
    found = agreement(after, blocks)
    verdict, suggestion = verdict_of(found, length, noise)
    zeros = float((after == 0).double().mean())
    signal = found.signal if math.isfinite(found.signal) else None
    numbers = (found.cosine, found.low, found.high, found.ratio, signal)
    return Audited(name, verdict, suggestion, float(before.norm()), length, zeros, noise, sigma, *numbers)


def _noise(draws: Tensor) -> float | None:
    """How far one draw (draws, n) is off the mean, in lengths of the mean; None where no mean is told from noise.

    The mean of a few draws has noise of its own, which would make it look longer than it is: its share is taken off.
    """
    count, mean = len(draws), draws.mean(0)
    if count == 1:
        return 0.0
    variance = float((draws - mean).square().sum()) / (count - 1)
    square = float(mean.square().sum()) - variance / count
    return math.sqrt(variance / square) if square > 0 else (0.0 if variance == 0 else None)


@dataclass
class _Program:
    """A target and its softened copy, as functions of the tensors that are audited."""

    target: Any
    soft: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    loss: Loss | None
    seed: int

    def __post_init__(self) -> None:
        self._leaves, self._structure = torch_private.flatten((self.args, self.kwargs))
        floating = {
            f"input {place}": leaf
            for place, leaf in enumerate(self._leaves)
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.numel()
        }
        module = self.target if isinstance(self.target, nn.Module) else nn.Module()
        named = {name: p for name, p in module.named_parameters() if p.requires_grad and p.numel()}
        chosen = named | {name: leaf for name, leaf in floating.items() if leaf.requires_grad}
        self._parameters = named
        self._buffers = dict(module.named_buffers())
        tensors = chosen or floating
        if not tensors:
            raise TargetError(
                "audit: the target has no trainable parameter and no floating input, so there is no gradient to judge. "
                "Give an input that is a floating tensor."
            )
        self.values = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def _loss_of(self, program: Any, values: dict[str, Tensor], seed: int) -> Tensor:
        """The loss of one call with these values in the place of the audited tensors."""
        torch.manual_seed(seed)
        leaves = [
            values.get(f"input {place}", leaf.detach().clone()) if isinstance(leaf, Tensor) else leaf
            for place, leaf in enumerate(self._leaves)
        ]
        args, kwargs = torch_private.unflatten(leaves, self._structure)
        if program is self.target and isinstance(program, nn.Module):
            own = {name: values[name] for name in self._parameters}
            buffers = {name: buffer.clone() for name, buffer in self._buffers.items()}
            result = functional_call(program, own | buffers, args, kwargs)
        else:
            result = program(*args, **kwargs)
        return self._number(result)

    def _number(self, result: Any) -> Tensor:
        if self.loss is not None:
            number = self.loss(result)
            if not isinstance(number, Tensor) or number.dim():
                raise TargetError("audit: loss gives no 0-dim tensor. Return one number, such as a mean.")
            return number.double()
        leaves = [x for x in torch_private.leaves(result) if isinstance(x, Tensor) and x.is_floating_point()]
        if not leaves:
            raise TargetError(
                "audit: the target has no floating result, and others carry no gradient. Return a floating tensor."
            )
        if len(leaves) == 1 and leaves[0].numel() == 1:
            return leaves[0].double().sum()
        generator = torch.Generator().manual_seed(self.seed)
        factors = [torch.randn(leaf.shape, generator=generator).to(leaf.device) for leaf in leaves]
        return torch.stack([(leaf.double() * f).sum() for leaf, f in zip(leaves, factors, strict=True)]).sum()

    def gradients(self, program: Any, seed: int) -> dict[str, Tensor]:
        """The gradient of each audited tensor, flat, in one call; zeros where nothing leads to it."""
        inputs = {name: value.clone().requires_grad_() for name, value in self.values.items()}
        sources = inputs | self._parameters if program is self.soft else inputs
        with torch.enable_grad(), Preserved(program):
            handed = {name: value * 1 if name not in self._parameters else value for name, value in inputs.items()}
            loss = self._loss_of(program, handed, seed)
            wanted = [sources[name] for name in self.values]
            found = torch.autograd.grad(loss, wanted, allow_unused=True) if loss.requires_grad else [None] * len(wanted)
        zeros = (torch.zeros_like(value) for value in self.values.values())
        pairs = zip(self.values, found, zeros, strict=True)
        return {name: (zero if own is None else own).detach().flatten().double() for name, own, zero in pairs}

    def drawn_gradients(self) -> list[dict[str, Tensor]]:
        """The softened gradient: once where it draws nothing, else several times."""
        first, second = (self.gradients(self.soft, self.seed + draw) for draw in range(2))
        if all(torch.equal(first[name], second[name]) for name in first):
            return [first]
        return [first, second, *(self.gradients(self.soft, self.seed + draw) for draw in range(2, _DRAWS))]

    def reference_block(self, sigmas: dict[str, float], pairs: int, block: int) -> dict[str, Tensor]:
        """The mean of some antithetic pairs of the smoothed original's gradient, for each audited tensor, flat."""
        generator = torch.Generator().manual_seed(self.seed * _BLOCKS + block)
        sums = {name: torch.zeros(value.numel(), dtype=torch.float64) for name, value in self.values.items()}
        for _ in range(pairs):
            steps = {name: torch.randn(value.shape, generator=generator) for name, value in self.values.items()}
            ends = [self._end(steps, sigmas, sign, self.seed + block) for sign in (1.0, -1.0)]
            for name, step in steps.items():
                sums[name] += step.flatten().double() * ((ends[0] - ends[1]) / (2 * sigmas[name]))
        return {name: total.to(self.values[name].device) / pairs for name, total in sums.items()}

    def _end(self, steps: dict[str, Tensor], sigmas: dict[str, float], sign: float, seed: int) -> float:
        moved = {name: value + (sign * sigmas[name] * steps[name]).to(value) for name, value in self.values.items()}
        with torch.no_grad():
            return float(self._loss_of(self.target, moved, seed))
