"""The gradient that each site passes on, in the original and softened: the numbers of `softfx plot TARGET`.

Both are run by the interpreter, under an observer that puts a copy in the place of every operand of a site and looks at
the gradient of that copy. The loss is the sum of the target's floating results, each element times a fixed random
number, for the sum of many results (probabilities, ranks) is constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from softfx import torch_private
from softfx.api import Capture, soften
from softfx.auditing.watching import Watch
from softfx.capture.example import function_of
from softfx.capture.preserve import Preserved
from softfx.decisions.evidence import Evidence
from softfx.decisions.policy import Policy
from softfx.decisions.site import SiteKey
from softfx.decisions.sites import Sites
from softfx.ops.calls import Args, Kwargs, Options
from softfx.pipeline.execute import Eager
from softfx.pipeline.softened import softened
from softfx.report import Report
from softfx.report.record import Site

__all__ = ["LOSS", "Passed", "site_gradients"]

LOSS = "the sum of the results times fixed random numbers"
_SEED = 0  # of the loss's factors: the same for both runs


@dataclass(frozen=True)
class Passed:
    """The norm of the gradient that a site passes to its operands, in the original and under the policy."""

    site: Site
    before: float
    after: float


def site_gradients(
    target: Any,
    policy: Any = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Options | None = None,
    capture: Capture = "auto",
    allow_unused: bool = False,
) -> tuple[Report, list[Passed]]:
    """The report, and for each of its sites the gradient norm it passes before and after. Arguments as for `soften`.

    >>> x = torch.tensor([0.2, 1.7])
    >>> _, (passed,) = site_gradients(lambda x: torch.round(x) * 3, example_inputs=(x,))
    >>> passed.before, passed.after > 0
    (0.0, True)
    """
    soft = soften(
        target,
        policy,
        example_inputs=example_inputs,
        example_kwargs=example_kwargs,
        capture=capture,
        executor="eager",
        allow_unused=allow_unused,
    )
    state = softened(soft, "site_gradients")
    args, kwargs = tuple(example_inputs or ()), dict(example_kwargs or {})
    original = Eager(Sites(Policy.load("keep")), Evidence(), state.eager.place)
    before = _measured(target, original, args, kwargs)
    after = _measured(target, state.eager, args, kwargs)
    pairs = zip(state.sites, state.report.sites, strict=True)
    passed = [Passed(site, before.get(decision.key, 0.0), after.get(decision.key, 0.0)) for decision, site in pairs]
    return state.report, passed


def _measured(target: Any, eager: Eager, args: Args, kwargs: Kwargs) -> dict[SiteKey, float]:
    """The norm for each site of one run, which leaves no trace."""
    function = function_of(target)
    watch = Watch()
    with Preserved(target), torch.enable_grad():
        leaves, structure = torch_private.flatten((args, kwargs))
        copies = [_leaf(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        own_args, own_kwargs = torch_private.unflatten(copies, structure)
        result = eager.observed(watch, target, function, own_args, own_kwargs)
        parameters = list(target.parameters()) if isinstance(target, nn.Module) else []
        sources = [leaf for leaf in (*copies, *parameters) if isinstance(leaf, Tensor) and leaf.requires_grad]
        loss = _loss(result)
        if loss is not None and sources:
            torch.autograd.grad(loss, sources, allow_unused=True)
    return {key: math.sqrt(square) for key, square in watch.squares.items()}


def _leaf(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone()
    return copy.requires_grad_() if copy.is_floating_point() else copy


def _loss(result: Any) -> Tensor | None:
    """A number that depends on every floating result; none where nothing carries a gradient."""
    leaves = [leaf for leaf in torch_private.leaves(result) if isinstance(leaf, Tensor) and leaf.requires_grad]
    generator = torch.Generator().manual_seed(_SEED)
    terms = [leaf.double() * torch.randn(leaf.shape, generator=generator).to(leaf.device) for leaf in leaves]
    return torch.stack([term.sum() for term in terms]).sum() if terms else None
