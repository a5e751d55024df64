"""What gradient each site passes on, in the original and softened: the numbers behind `softfx plot TARGET`.

Both are run by the engine that runs softened calls, with every operand of a site replaced by a copy whose gradient is
looked at. The loss is the sum of the target's floating results, each element times a fixed random number, for the sum
of many results (probabilities, ranks) is constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from softfx import torch_private as private
from softfx.api import soften
from softfx.capture.preserve import Preserved
from softfx.decisions.policy import Policy
from softfx.decisions.sites import Key, Sites
from softfx.interpreter.backends import Call, Direct
from softfx.interpreter.hard_values import version
from softfx.interpreter.interpreter import Engine
from softfx.pipeline.execute import Eager
from softfx.pipeline.softened import softened
from softfx.report.record import Report, Site
from softfx.values.domains import map_tensors, tensors_in

__all__ = ["Passed", "site_gradients"]

_SEED = 0  # of the loss's factors: the same for both runs


@dataclass(frozen=True)
class Passed:
    """The norm of the gradient that a site passes to its operands, in the original and under the policy."""

    site: Site
    before: float
    after: float


@dataclass
class _Metered(Engine):
    """An engine that notes the gradient of the operands of every site."""

    squares: dict[Key, float] = field(default_factory=dict)

    def _decided(self, call: Call) -> Any:
        if call.rule is None or not call.is_site:
            return super()._decided(call)
        key = self.sites.key(call.rule, call.location)
        self.squares.setdefault(key, 0.0)
        if call.written is not None:  # it must write this very tensor: all of its gradient counts
            self._watch(call.written, key)
            return super()._decided(call)
        args, kwargs = map_tensors(lambda tensor: self._tapped(tensor, key), (call.args, call.kwargs))
        return super()._decided(replace(call, args=args, kwargs=kwargs, tensors=tensors_in((args, kwargs))))

    def _tapped(self, tensor: Tensor, key: Key) -> Tensor:
        """A copy that stands for the same, and is watched."""
        known = self.values.known(tensor)
        copy = tensor.clone()
        self._watch(copy, key)
        soft = known.soft
        if soft is not None:
            value = soft.value.clone()
            self._watch(value, key)
            soft = replace(soft, value=value)
        hard = known.hard if known.version == version(tensor) else None
        self.values.set(copy, replace(known, soft=soft, hard=hard, version=version(copy)))
        return copy

    def _watch(self, tensor: Tensor, key: Key) -> None:
        if tensor.requires_grad:
            tensor.register_hook(lambda gradient: self._note(key, gradient))  # type: ignore[no-untyped-call]

    def _note(self, key: Key, gradient: Tensor) -> None:
        self.squares[key] += float(gradient.detach().abs().double().square().sum())


def site_gradients(
    target: Any,
    policy: Any = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    capture: str = "auto",
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
    before = _measured(target, Eager(Sites(Policy.load("keep")), state.eager.place), args, kwargs)
    after = _measured(target, state.eager, args, kwargs)
    records = zip(state.sites, state.report.sites, strict=True)
    keys = [(state.sites.key(record.rule, record.location), site) for record, site in records]
    return state.report, [Passed(site, before.get(key, 0.0), after.get(key, 0.0)) for key, site in keys]


def _measured(target: Any, eager: Eager, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[Key, float]:
    """The norm for each site of one run, which leaves no trace."""
    function: Callable[..., Any] = target.forward if isinstance(target, nn.Module) else target
    engine = _Metered(eager.sites, Direct())
    with Preserved(target), torch.enable_grad():
        leaves, structure = private.flatten((args, kwargs))
        copies = [_leaf(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        result = eager._run(engine, target, function, *private.unflatten(copies, structure))
        parameters = list(target.parameters()) if isinstance(target, nn.Module) else []
        sources = [leaf for leaf in (*copies, *parameters) if isinstance(leaf, Tensor) and leaf.requires_grad]
        loss = _loss(result)
        if loss is not None and sources:
            torch.autograd.grad(loss, sources, allow_unused=True)
    return {key: math.sqrt(square) for key, square in engine.squares.items()}


def _leaf(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone()
    return copy.requires_grad_() if copy.is_floating_point() else copy


def _loss(result: Any) -> Tensor | None:
    """A number that depends on every floating result; none where nothing carries a gradient."""
    leaves = [leaf for leaf in private.leaves(result) if isinstance(leaf, Tensor) and leaf.requires_grad]
    generator = torch.Generator().manual_seed(_SEED)
    terms = [leaf.double() * torch.randn(leaf.shape, generator=generator).to(leaf.device) for leaf in leaves]
    return torch.stack([term.sum() for term in terms]).sum() if terms else None
