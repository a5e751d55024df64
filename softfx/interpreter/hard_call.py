"""A call as the program makes it, and what is known of its results: taint, whole numbers, what their derivative passes.

Its soft operands end here, which is said; its real ones may have hard values, by which it decides. How a call is made
softly is in `soft`, what is known without asking in `quick`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from softfx.decisions.sites import Sites
from softfx.interpreter.backends import Backend, Call
from softfx.interpreter.hard_values import Follow, follow, version
from softfx.interpreter.indexed_update import Updates
from softfx.interpreter.straight_through_idiom import Existing
from softfx.locations import Location
from softfx.ops.integrality import BLANK, SHAPE_ONLY, STOPS, filled_with, gives_whole
from softfx.rules.values import is_discrete
from softfx.values.domains import Domain, Known, Values, map_tensors, rebuilt, tensors_in

__all__ = ["Gradients", "Plain"]


@dataclass
class Gradients:
    """Whether there are gradients at all, and where the program last switched them off."""

    ambient: bool = field(default_factory=torch.is_grad_enabled)
    switch: Location | None = None

    def switched_off(self, sites: Sites, ids: frozenset[int]) -> None:
        """Note that what these sites reached is used where there are none."""
        if self.ambient and self.switch is not None:
            sites.switched_off(ids, self.switch)


@dataclass(frozen=True)
class Plain:
    """Calls as they are."""

    sites: Sites
    backend: Backend
    values: Values
    gradients: Gradients
    existing: Existing
    updates: Updates
    follows: bool = True  # whether it matters which sites' derivative a real number carries

    def call(self, call: Call, loss: str = "") -> Any:
        """The call as it is. loss: what to say of the shadows among its operands, which end here."""
        result = self.remember(call, self._deciding(call), loss)
        if call.op in BLANK and self.sites.writes and isinstance(result, Tensor):  # beside soft writes, zeros
            self.backend.emit(torch.Tensor.copy_, (result, self.backend.emit(torch.zeros_like, (result,), {})), {})
        return result

    def run(self, call: Call) -> Any:
        """What the program's call gives, its operands without their derivative where torch insists on it."""
        return self.backend.run(call.func, *self._blinded(call))

    def again(self, call: Call) -> Any:
        """The same of another call than the program's."""
        return self.backend.again(call.func, *self._blinded(call))

    def unsoftened(self, call: Call) -> Call:
        """The call with the hard values of real operands."""
        if call.written is not None or not call.has_hard:
            return call
        args, kwargs = map_tensors(self.hard_of, (call.args, call.kwargs))
        return replace(call, args=args, kwargs=kwargs)

    def hard_of(self, tensor: Tensor) -> Tensor:
        """What `tensor` would be without softening, as far as that is known."""
        known = self.values.known(tensor)
        hard = known.hard if known.version == version(tensor) else None
        if isinstance(hard, Follow):
            hard = hard.value(self.backend)
            self.values.set(tensor, replace(known, hard=hard))
        return tensor if hard is None else hard

    def remember(self, call: Call, result: Any, loss: str) -> Any:
        """`result`, what is known of it remembered, as of the result of a plain call."""
        outputs = tensors_in(result)
        whole = gives_whole(call.op, call.args, call.kwargs, [self.is_whole(tensor) for tensor in call.tensors])
        fill = filled_with(call.op, call.args, call.kwargs, [known.fill for known in call.known])
        if call.op in SHAPE_ONLY or not call.known:
            for output in outputs if whole or fill is not None else ():
                self.values.set(output, Known(False, whole=whole, fill=fill))
            return result
        if loss:
            self._lose(call, outputs, loss)
        carries = self._carried(call)
        if call.written is not None:
            self.sites.writes = True
            self.renew(call.written, Known(call.tainted, None, carries, whole))
        hard, stops = follow(call, result, self.backend), call.stops
        if call.op in STOPS:
            stops |= {call.location}
        for position, output in enumerate(outputs):
            before = self.values.get(output)
            if output is not call.written and (before is None or not before.tainted):
                known = Known(call.tainted, None, carries, whole, hard(position), version(output), fill, stops)
                self.values.set(output, known)
        return result

    def renew(self, tensor: Tensor, known: Known) -> None:
        """What is known of a tensor that has been written."""
        self.values.set(tensor, known)
        self.existing.terms.discard(tensor)
        self.updates.reads.discard(tensor)

    def is_whole(self, tensor: Tensor) -> bool:
        """Whether a tensor stands for integers."""
        known = self.values.known(tensor)
        discrete = known.soft is not None and known.soft.domain is not Domain.SELECTED
        return known.whole or discrete or is_discrete(tensor)

    def _deciding(self, call: Call) -> Any:
        """Its result: what it decides, and what Python reads of it, as the original would have it."""
        unsoftened = self.unsoftened(call)
        if unsoftened is call:
            return self.run(call)
        if call.rule is not None and call.rule.barrier in ("branch", "number"):
            return self.run(unsoftened)
        result = self.run(call)
        if not any(is_discrete(tensor) for tensor in tensors_in(result)):
            return result
        return _decided_by(self.again(unsoftened), result)

    def _blinded(self, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not call.blind:
            return call.args, call.kwargs
        if not any(known.carries or known.soft is not None for known in call.known) and self.follows:
            return call.args, call.kwargs
        args, kwargs = map_tensors(lambda t: self.backend.emit(torch.detach, (t,), {}), (call.args, call.kwargs))
        return args, kwargs

    def _lose(self, call: Call, outputs: list[Tensor], loss: str) -> None:
        """Say of the discrete shadows among the operands that they end here."""
        barrier = call.rule.barrier if call.rule is not None else None
        lost = call.discrete_softs
        if lost and (outputs or call.written is not None or barrier is not None):
            hopeless = barrier == "branch" or (self.gradients.ambient and not torch.is_grad_enabled())
            self.sites.lost(lost, call.op, call.location, f"{call.op} {loss}", hopeless)

    def _carried(self, call: Call) -> frozenset[int]:
        """The sites whose derivative goes on through a plain call."""
        carries = frozenset[int]().union(*(known.carries for known in call.known))
        if carries and call.op in STOPS:
            self.sites.detached(carries, call.location)
        if torch.is_grad_enabled():
            return frozenset() if call.op in STOPS else carries
        self.gradients.switched_off(self.sites, carries)
        return frozenset()


def _decided_by(hard: Any, soft: Any) -> Any:
    """The integers and bools of one result with the real numbers of another."""
    if isinstance(hard, Tensor):
        return hard if is_discrete(hard) or hard.shape != soft.shape else soft
    return rebuilt(hard, [_decided_by(h, s) for h, s in zip(hard, soft, strict=True)])
