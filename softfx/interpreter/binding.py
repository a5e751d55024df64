"""What a tensor of the program stands for: its shadow on the way into a rule, and the way a rule's result comes back.

The program holds hard values only (or, under a soft policy, real ones softened); what they are softly is remembered
beside them. A rule gets the shadows of its operands from here, and its results are bound here: straight-through, as
the soft value itself, or as a shadow of an integer that cannot carry a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.decisions.sites import Sites
from softfx.interpreter.backends import Backend, Context
from softfx.interpreter.hard_values import version
from softfx.rules.rule import Cut
from softfx.rules.values import as_real, harden, is_discrete
from softfx.values.domains import Domain, Known, Soft, Values, rebuilt

__all__ = ["Binding"]


@dataclass(frozen=True)
class Binding:
    """Tensors and their shadows, under the decisions of `sites`."""

    sites: Sites
    backend: Backend
    values: Values
    follows: bool = True  # whether it matters which sites' derivative a real number carries

    def operand(self, context: Context, tensor: Tensor) -> Tensor | Soft:
        """A tensor as a rule sees it. Where soft and straight-through meet, the latter bring their hard values."""
        soft = self.values.known(tensor).soft
        if soft is None:
            return self._unwritten(tensor)
        if soft.domain is Domain.SELECTED:
            return soft if soft.exact == context.exact else replace(soft, support=self._chances(soft), exact=False)
        if soft.exact and not context.exact:
            value = self.backend.emit(softtorch.straight_through, (harden(context, tensor, soft), soft.value), {})
            soft = replace(soft, value=value, exact=False)
        return soft.value if soft.domain is Domain.REAL else soft

    def _chances(self, soft: Soft) -> Tensor:
        """The probabilities of selected rows, with the values that the hard mask has."""
        assert soft.mask is not None and soft.support is not None
        hard = self.backend.emit(torch.Tensor.to, (soft.mask, soft.support.dtype), {})
        chances: Tensor = self.backend.emit(softtorch.straight_through, (hard, soft.support), {})
        return chances

    def _unwritten(self, tensor: Tensor) -> Tensor:
        """What a soft call may keep for its backward pass: a copy, in a program that writes tensors in place.

        The hard call keeps nothing of its operands, so the program is free to write into them afterwards.
        """
        if not self.sites.writes:
            return tensor
        copy: Tensor = self.backend.emit(torch.clone, (tensor,), {})
        self.values.set(copy, replace(self.values.known(tensor), version=version(copy)))
        return copy

    def give(self, context: Context, hard: Any, shadow: Any) -> Any:
        """`hard` with each leaf that has a shadow bound to it; a real leaf becomes one that carries a gradient."""
        if isinstance(hard, Tensor):
            return self.bind(context, hard, shadow)
        if not isinstance(shadow, tuple | list) or len(shadow) != len(hard):
            raise Cut("its results and their shadows do not match")
        return rebuilt(hard, [self.give(context, h, s) for h, s in zip(hard, shadow, strict=True)])

    def bind(self, context: Context, hard: Tensor, shadow: Any) -> Tensor:
        if shadow is None:
            self.values.set(hard, Known(tainted=True))
            return hard
        soft = shadow if isinstance(shadow, Soft) else None
        if is_discrete(hard):
            soft = soft or context.soft(shadow, "soft_bool" if hard.dtype is torch.bool else "count")
            self.values.set(hard, Known(True, self._separated(context, hard, soft)))
            return hard
        real = shadow if soft is None else as_real(context, soft)
        scope = self.sites.scope(context.sites)
        joined = context.exact and scope != "model" and real is context.joined  # then it is the result as it is
        result = real if joined else self._combine(context, hard, real)
        self.sites.reached(context.sites)
        if scope == "model":
            soft = Soft(Domain.REAL, real, None, context.exact, context.sites)
        whole = soft is not None and soft.domain is not Domain.REAL
        behind = None if context.exact or (soft is not None and not whole) else hard
        carries = context.sites if self.follows else frozenset[int]()
        self.values.set(result, Known(True, soft, carries, whole, behind, version(result)))
        return result

    def kept(self, context: Context, result: Tensor) -> Tensor:
        """A real result that is the hard one, bit for bit."""
        self.sites.reached(context.sites)
        self.values.set(result, Known(True, None, context.sites if self.follows else frozenset()))
        return result

    def _separated(self, context: Context, hard: Tensor, soft: Soft) -> Soft:
        """scope = "operation": the shadow itself is made straight-through, each operation by itself."""
        if not context.exact or self.sites.scope(context.sites) != "operation":
            return soft
        value = self.backend.emit(softtorch.straight_through, (harden(context, hard, soft), soft.value), {})
        return replace(soft, value=value)

    def _combine(self, context: Context, hard: Tensor, real: Tensor) -> Tensor:
        if real.dtype != hard.dtype:
            real = self.backend.emit(torch.Tensor.to, (real, hard.dtype), {})
        if real.shape != hard.shape:
            raise Cut(f"its soft value has shape {tuple(real.shape)}, its hard value {tuple(hard.shape)}")
        if not context.exact:
            return self._unwritten(real)
        result: Tensor = self.backend.emit(softtorch.straight_through, (hard, real), {})
        return result

    def returned(self, value: Any) -> Any:
        """One of the program's results as its caller gets it.

        A discrete one that is soft is the number it is worth, or as the policy's `outputs` says: the distribution (of a
        straight-through site the hard one, with a gradient), or what the original returns.
        """
        if not isinstance(value, Tensor):
            return value
        known = self.values.known(value)
        self.sites.returned(known.carries)
        if known.soft is None or not is_discrete(value):
            return value
        soft, wanted = known.soft, self.sites.outputs(known.soft.sites)
        if wanted is None and soft.exact:
            wanted = "hard"
        self.sites.returned(soft.sites, value.dtype, wanted == "hard")
        if wanted == "hard":
            return value
        context = Context(self.backend, torch.clone, {}, soft.exact, soft.sites)
        if wanted is None:
            return as_real(context, soft)
        if not soft.exact:
            return soft.value
        return self.backend.emit(softtorch.straight_through, (harden(context, value, soft), soft.value), {})
