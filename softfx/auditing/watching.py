"""Observers of the operands of sites: which there are, and what gradient each gets.

An operand of a site is a real tensor that depends on a differentiable source. Operands are numbered in the order in
which a run meets them, so that those of a hard run and of a softened one are the same as long as the program goes the
same way; where it does not, the shapes tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from softfx.decisions.site import SiteKey
from softfx.interpreter.call import Call
from softfx.interpreter.observer import Observer
from softfx.interpreter.state import RunState
from softfx.ops.trees import map_tensors, tensors_in
from softfx.rules.comparison import as_written
from softfx.torch_private import version_of
from softfx.values import Soft, SoftBool, SoftCount, SoftReal, SoftSum

__all__ = ["Look", "Watch", "is_operand", "site_of"]


def site_of(call: Call) -> SiteKey:
    """The site that a call is."""
    assert call.rule is not None  # a site has one
    return SiteKey.of(as_written(call.rule, call.location.symbol), call.location)


def is_operand(state: RunState, tensor: Tensor) -> bool:
    """Return True for a real tensor that depends on a differentiable source."""
    return tensor.is_floating_point() and state.environment.facts(tensor).depends_on_source


def _is_the_number(soft: Soft) -> bool:
    """Return True for a shadow whose tensor is the real number that it runs beside, so that it has its derivative."""
    return isinstance(soft, SoftReal | SoftBool | SoftCount) and not isinstance(soft, SoftSum)


class Watch(Observer):
    """Notes the gradient of every operand of every site, and of the shadows beside them.

    gradients: of the operands of each site, in order; None where none came.
    squares: the sums of the squares of all gradients that a site passes on, to shadows, too.
    """

    def __init__(self) -> None:
        self.gradients: defaultdict[SiteKey, list[Tensor | None]] = defaultdict(list)
        self.squares: defaultdict[SiteKey, float] = defaultdict(float)

    def before_site(self, state: RunState, call: Call) -> Call:
        key = site_of(call)
        self.squares[key] += 0.0
        if call.written is not None or call.location.function:
            # It must write this very tensor, and what a custom function is given carries the graph: all of its
            # gradient counts.
            for tensor in call.tensors:
                if call.written is None or tensor is call.written or is_operand(state, tensor):
                    self._watch(state, tensor, tensor, key)
            return call
        args, kwargs = map_tensors(lambda tensor: self._copy(state, tensor, key), (call.args, call.kwargs))
        tensors = tensors_in((args, kwargs))
        facts = list(map(state.environment.facts, tensors))
        return replace(call, args=args, kwargs=kwargs, tensors=tensors, facts=facts)

    def _copy(self, state: RunState, tensor: Tensor, key: SiteKey) -> Tensor:
        """A copy that stands for the same, and is watched."""
        facts = state.environment.facts(tensor)
        copy = tensor.clone()
        place = self._watch(state, tensor, copy, key)
        soft = facts.soft
        if soft is not None:
            value = soft.tensor.clone()
            if not _is_the_number(soft) or value.shape != tensor.shape:
                place = None
            if value.requires_grad:
                value.register_hook(lambda gradient: self._note(key, place, gradient))  # type: ignore[no-untyped-call]
            soft = soft.with_tensor(value)
        hard = facts.hard if facts.version == version_of(tensor) else None
        state.environment.set(copy, replace(facts, soft=soft, hard=hard, version=version_of(copy)))
        if (made := state.points.get(tensor)) is not None:
            state.points.set(copy, made)
        return copy

    def _watch(self, state: RunState, tensor: Tensor, watched: Tensor, key: SiteKey) -> int | None:
        """Note the gradient of a tensor; its place among the operands of the site, if it is one."""
        place: int | None = None
        if is_operand(state, tensor):
            place = len(self.gradients[key])
            self.gradients[key].append(None)
        if watched.requires_grad:
            watched.register_hook(lambda gradient: self._note(key, place, gradient))  # type: ignore[no-untyped-call]
        return place

    def _note(self, key: SiteKey, place: int | None, gradient: Tensor) -> None:
        self.squares[key] += float(gradient.detach().abs().double().square().sum())
        if place is not None:
            before = self.gradients[key][place]
            self.gradients[key][place] = gradient.detach() if before is None else before + gradient.detach()


class Look(Observer):
    """Shows every call of a site to a function, and for each of its tensors whether that is an operand."""

    def __init__(self, show: Callable[[SiteKey, Call, list[bool]], None]) -> None:
        self._show = show

    def before_site(self, state: RunState, call: Call) -> Call:
        self._show(site_of(call), call, [is_operand(state, tensor) for tensor in call.tensors])
        return call
