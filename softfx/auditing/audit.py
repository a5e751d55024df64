"""`audit`: is the gradient that softening gives the one that the program would have if it could be differentiated?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from softfx.api import soften
from softfx.auditing.arguments import check_arguments
from softfx.auditing.bench import BLOCKS, SiteBench, drawn
from softfx.auditing.program import Batch, Loss, Program, batches_of
from softfx.auditing.report import Audited, AuditReport, measured
from softfx.auditing.sites import audited_sites
from softfx.capture.preserve import Preserved
from softfx.errors import TargetError, brief
from softfx.ops.calls import Options
from softfx.pipeline.given import example_call
from softfx.pipeline.softened import softened
from softfx.rules.spread import of_entries

__all__ = ["Progress", "audit", "softened_program", "ticker"]

Which = Literal["every", "acting", "none"]
Progress = Callable[[int, int, float], None]
"""Called with the calls of the original done, those in all, and the seconds that all are expected to take."""

_WHICH = ("every", "acting", "none")


def audit(
    target: Any,
    policy: Any = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Options | None = None,
    loader: Iterable[Any] | None = None,
    loss: Loss | None = None,
    scale: float = 0.3,
    samples: int = 512,
    seed: int = 0,
    sites: Which = "every",
    capture: str = "auto",
    allow_unused: bool = False,
    progress: Progress | None = None,
) -> AuditReport:
    """Compare the softened gradient of each site and each parameter with a reference that needs no derivative.

    The reference is the gradient of the original's loss smoothed by normal noise: on all parameters together, and for
    each site on its operands where the program meets them. It is measured by calls of the original at both sides of
    each random step: 2 * samples calls for the parameters and as many for each site. Which gradient that is depends on
    the noise: `scale` is its standard deviation, in spreads of the parameter, or of what the site decides about. A
    verdict is one of

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
        loader: batches in the place of example inputs: tuples of arguments, dicts of them by name, or tensors. The
            mean over the first four is measured.
        loss: a function of the target's result, a 0-dim tensor. None is the sum of the floating results, (...), each
            element times a fixed random number; a single number is taken as it is.
        scale: the noise in spreads; where all entries of a parameter are equal, in halves of their size.
        samples: pairs of calls for each verdict, at least 64; rounded down to a multiple of 32.
        seed: of the noise, and of what the program draws.
        sites: the sites that are measured: "every" one, those that are "acting", or "none".
        capture: as for `soften`.
        allow_unused: as for `soften`.
        progress: a function that is called before the first calls of the original and after each pair, with the calls
            done, those in all, and the seconds that all are expected to take.

    Returns:
        The report. Its `.sites` have the gradient of the operands of each site, its `.parameters` that of the
        trainable parameters of a module and the inputs that require a gradient, or of all floating inputs where there
        is neither.

    Raises:
        TargetError: there is nothing to audit, or the loss is no 0-dim tensor; or a number is out of its range.

    Source: smoothing by noise, Spall 1992, doi 10.1109/9.119632, Nesterov and Spokoiny 2017, doi
    10.1007/s10208-015-9296-2.

    >>> x = torch.linspace(-1, 1, 8)
    >>> report = audit(lambda x: (x > 0).float().mean(), example_inputs=(x,))
    >>> report.parameters[0].verdict, report.sites[0].verdict
    ('good', 'good')
    """
    check_arguments("audit", loss, seed, scale, samples)
    if sites not in _WHICH:
        raise TargetError(f"audit: sites = {brief(sites)}. Legal are {', '.join(map(repr, _WHICH))}. Take one.")
    batches = batches_of("audit", example_inputs, example_kwargs, loader)
    program = softened_program("audit", target, policy, batches, loss, seed, capture, allow_unused)
    state = softened(program.soft, "audit")
    bench = SiteBench(program, state.eager, scale)
    pairs = samples // BLOCKS
    with Preserved(target):
        decisions = {decision.key: decision for decision in state.sites if sites == "every" or decision.acts}
        met = {key: own for key, own in bench.met().items() if key in decisions} if sites != "none" else {}
        count = pairs * BLOCKS * (1 + sum(len(own.flat) > 0 for own in met.values()))
        tick = ticker(progress, count, len(batches), bench.seconds())
        parameters = _parameters(program, scale, pairs, seed, tick)
        found = audited_sites(bench, state.report, met, pairs, seed, tick)
        losses = (bench.hard_loss, bench.losses(state.eager))
    runs = 2 * count * len(batches)
    return AuditReport(parameters, scale, pairs * BLOCKS, runs, seed, found, state.report, *losses)


def softened_program(
    where: str, target: Any, policy: Any, batches: list[Batch], loss: Loss | None, seed: int, capture: str,
    allow_unused: bool,
) -> Program:  # fmt: skip
    """A target and its softened copy, planned on the first batch."""
    args, kwargs = example_call(target, policy, *batches[0], where)
    options: dict[str, Any] = {"capture": capture, "executor": "eager", "allow_unused": allow_unused}
    soft = soften(target, policy, example_inputs=args, example_kwargs=kwargs, **options)
    return Program(where, target, soft, batches, loss, seed)


def ticker(progress: Progress | None, pairs: int, batches: int, seconds: float) -> Callable[[], None]:
    """A function that is to be called after each of so many pairs of calls.

    seconds: that one call on all batches takes.
    """
    if progress is None:
        return lambda: None
    total, expected = 2 * pairs * batches, 2 * pairs * seconds
    progress(0, total, expected)
    done = iter(range(2 * batches, total + 1, 2 * batches))
    return lambda: progress(next(done, total), total, expected)


def _parameters(program: Program, scale: float, pairs: int, seed: int, tick: Callable[[], None]) -> tuple[Audited, ...]:
    sigmas = {name: scale * _spread(value) for name, value in program.values.items()}
    before = program.gradients(program.target, seed)
    draws = drawn(lambda own: program.gradients(program.soft, own), seed)
    blocks = []
    for block in range(BLOCKS):
        blocks.append(program.reference_block(sigmas, pairs, seed * BLOCKS + block, tick))
    found = []
    for name, sigma in sigmas.items():
        after = torch.stack([draw[name] for draw in draws])
        own = torch.stack([block[name] for block in blocks]) * sigma
        found.append(measured(name, before[name], after, sigma, own))
    return tuple(found)


def _spread(value: Tensor) -> float:
    spread = of_entries(value, "entries", decided_at_zero=False)
    number = float(torch.as_tensor(spread.value).mean()) if spread is not None else 0.0
    return number if number > 0 else 1.0
