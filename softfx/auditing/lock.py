"""`lock`: the fingerprint of a softened gradient, to be held against that of another day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from softfx.auditing.arguments import check_arguments
from softfx.auditing.audit import audit, softened_program
from softfx.auditing.bench import BLOCKS, SiteBench
from softfx.auditing.fingerprint import Lock, LockedParameter, locked_sites, signs_of
from softfx.auditing.program import Loss, batches_of, digest_of
from softfx.capture.preserve import Preserved
from softfx.decisions.policy import Policy
from softfx.ops.calls import Options
from softfx.pipeline.softened import softened
from softtorch.version import installed_version

__all__ = ["lock"]

_SCALE = 0.3  # of the noise, where it is not asked for: sites are not moved here


def lock(
    target: Any,
    policy: Any = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Options | None = None,
    loss: Loss | None = None,
    samples: int = 0,
    seed: int = 0,
    capture: str = "auto",
    allow_unused: bool = False,
) -> Lock:
    """The fingerprint of the softened gradient of each parameter, and of what each site passes on.

    An update of torch, of a model's package or of softfx may change or end a gradient without a word, and training
    diverges thousands of steps later. Keep the lock of a target in its repository, and hold a new one against it.

    Args:
        target: a Module or function, as for `soften`.
        policy: as for `soften`.
        example_inputs: the arguments of the call that is measured: the same each time.
        example_kwargs: its keyword arguments.
        loss: a function of the target's result, a 0-dim tensor; as for `softfx.audit`.
        samples: pairs of calls of the original by which the agreement with its own answers is measured, as
            `softfx.audit` does it, at least 64; 0 for none.
        seed: of what the program draws, and of the loss's factors.
        capture: as for `soften`.
        allow_unused: as for `soften`.

    Returns:
        The lock. `.to_dict()` is its file, `Lock.from_dict` reads one, `before.moved(now)` tells the difference.

    Raises:
        TargetError: there is no gradient to look at, or the loss is no 0-dim tensor.

    Source: the reason for it, an update that disabled a straight-through estimator unseen, pytorch/ao issue 4806.

    >>> share = lambda x: (x > 0).float().mean()
    >>> inputs = (torch.linspace(-1, 1, 8),)
    >>> before = lock(share, {"default": {"softness": 0.1}}, example_inputs=inputs)
    >>> before.moved(lock(share, {"default": {"softness": 0.1}}, example_inputs=inputs))
    []
    >>> moved = before.moved(lock(share, "keep", example_inputs=inputs))
    >>> moved[0].startswith("input x: |gradient| "), "straight-through -> kept" in moved[1]
    (True, True)
    """
    check_arguments("lock", loss, seed, samples=samples or 2 * BLOCKS)
    batches = batches_of("lock", example_inputs, example_kwargs, None)
    program = softened_program("lock", target, policy, batches, loss, seed, capture, allow_unused)
    state = softened(program.soft, "lock")
    bench = SiteBench(program, state.eager, _SCALE)
    agreements: dict[str, float | None] = {}
    if samples:
        report = audit(
            target, policy, example_inputs=example_inputs, example_kwargs=example_kwargs, loss=loss, samples=samples,
            seed=seed, sites="none", capture=capture, allow_unused=allow_unused,
        )  # fmt: skip
        agreements = {each.name: each.cosine for each in report.parameters}
    with Preserved(target):
        gradients = program.gradients(program.soft, seed)
        passed = bench.passed(bench.met())
        value = bench.hard_loss
    numbers = {decision.id: passed[decision.key] for decision in state.sites if decision.key in passed}
    parameters = tuple(
        LockedParameter(name, float(gradient.norm()), signs_of(gradient), agreements.get(name))
        for name, gradient in gradients.items()
    )
    versions = {"torch": torch.__version__, "softfx": installed_version() or "unknown"}
    sites = tuple(locked_sites(state.report.sites, numbers))
    return Lock(Policy.load(policy).name, seed, samples, digest_of([program]), value, versions, parameters, sites)
