"""A function that is called again and again with tensors of one form: by its trace, past everything in between.

The calls of aten that a function makes forward, and those that its backward pass makes, are logged once and written as
straight-line code, which is one node of autograd's graph. It computes what the function computes, to the bit, for it
makes the same calls; only the order in which autograd adds up what comes to a tensor from several nodes may be another,
for there are fewer nodes. Where a question about numbers is answered otherwise than it was, where tensors of another
form come, and for derivatives of derivatives, the function itself is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from softfx.interpreter import checkpoint_private
from softfx.ops.autocast import autocast_state
from softfx.ops.trees import ATOMS, BARE, tensors_in
from softfx.torch_private import in_transform
from softfx.traces.aten_private import Node, forward_mode_is_open, has_dispatch_modes, is_same, versions_of
from softfx.traces.forms import Form
from softfx.traces.lines import OTHER
from softfx.traces.log import Untraceable
from softfx.traces.logged import Grads, Logged, Pull

__all__ = ["Traced"]

_MOST_ELEMENTS = 1 << 14  # of all tensors together
_MOST_TRACES = 3  # for other forms, and other plain values
_MOST_PULLS = 4  # for other strides of gradients
_MOST_OTHERS = 16  # calls in a row in which a question is answered otherwise: each is made in part before
_LEAST_CALLS = 3  # fewer are made as soon without a trace

_WRITTEN = (
    "one of the tensors needed for this gradient has been modified by an inplace operation since a softened call took "
    "it. Legal is to write a copy: x = x.clone() before the write."
)

Function = Callable[..., Any]


class Traced:
    """`function`, by a trace of it where there is one.

    function: takes tensors and plain values by place, writes none of them, and gives a tensor or a tuple of them.

    >>> x = torch.tensor([0.5, -1.0], requires_grad=True)
    >>> f = Traced(lambda x: (x + x).mul(x).sin() + x)
    >>> [torch.allclose(torch.autograd.grad(f(x).sum(), x)[0], 4 * x * (2 * x * x).cos() + 1) for _ in range(3)]
    [True, True, True]
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self._call: Function | None = None
        self._traces = self._others = 0

    @property
    def is_traced(self) -> bool:
        """There is a trace, for values of the form of those that came last before it was made."""
        return self._call is not None

    def __call__(self, *values: Any) -> Any:
        plain = _is_plain()
        if plain and self._call is not None:
            try:
                result = self._call(*values)
            except _Other:
                self._others += 1
                if self._others == _MOST_OTHERS:
                    self._call, self._traces = None, _MOST_TRACES
                return self.function(*values)
            if result is not OTHER:
                self._others = 0
                return result
        result = self.function(*values)
        if plain and self._traces < _MOST_TRACES and _may_be_traced(values):
            self._traces += 1
            try:
                self._call = _Trace(self.function, values, result).call
            except Untraceable:
                self._traces = _MOST_TRACES
        return result


class _Other(Exception):
    """A question is answered otherwise than it was."""


def _is_plain() -> bool:
    """Return True where calls are neither transformed nor seen by others, nor what they save."""
    if in_transform() or forward_mode_is_open() or has_dispatch_modes():
        return False
    return checkpoint_private.hooks_of_saved_tensors(True) is None


def _may_be_traced(values: Sequence[Any]) -> bool:
    tensors = [value for value in values if isinstance(value, Tensor)]
    if not tensors or not all(type(x) in BARE and x.layout is torch.strided for x in tensors):
        return False
    if not all(x.is_cpu for x in tensors) or any(enabled for enabled, _ in autocast_state()):
        return False
    return sum(x.numel() for x in tensors) <= _MOST_ELEMENTS


class _Trace:
    """The trace of a call, of which `result` came.

    call: of values to results; OTHER for values of another form than was traced.
    forward: of the tensors to the results and what is saved for backward passes.
    pulls: the backward passes by the strides of gradients; None for one that cannot be written.
    width, count: how many tensors it takes and gives.
    constant: the places of those that no derivative goes to.
    """

    def __init__(self, function: Function, values: Sequence[Any], result: Any) -> None:
        self._function, self._form = function, Form(values)
        tensors = self._form.tensors_of(values)
        self.width = len(tensors)
        self._require = [x.requires_grad for x in tensors]
        self._saved: list[int] = []
        self._edges: list[int] = []
        self.pulls: dict[object, Pull | None] = {}
        logged = self._logged(tensors)
        if len(logged.calls) < _LEAST_CALLS:
            raise Untraceable("nothing to gain")
        if not isinstance(logged.result, Tensor) and not _is_flat(logged.result):
            raise Untraceable("a result with more in it than tensors")
        if not is_same(logged.outs, tensors_in(result)):
            raise Untraceable("a value that torch computes in another way while its calls are seen")
        self._calls, self.count = logged.calls, len(logged.outs)
        self.constant = [place for place, x in enumerate(logged.outs) if not x.requires_grad]
        is_node = len(self.constant) < self.count
        if is_node:
            grads = [None if place in self.constant else _ramp(x) for place, x in enumerate(logged.outs)]
            self.pulls[strides(grads)] = self._log_pull(logged, grads)
            with torch.no_grad():  # no derivative of it
                plainly = self._pull_plainly(tensors, True, grads)
            if not is_same(_rows(logged.pulled), _rows(plainly)):
                raise Untraceable("a derivative that torch computes in another way while its calls are seen")
        else:
            self.forward, _ = logged.written(self._saved, logged.edges)
        run = partial(_TracedNode.apply, self) if is_node else partial(_run, self)
        self.call = self._form.call(run, logged.edges, logged.result)

    def pull(self, tensors: Sequence[Tensor], as_given: bool, saved: Sequence[Tensor], grads: Grads) -> Grads:
        """None and the gradients of the tensors, where it has no backward pass for these gradients yet.

        as_given: none of them has been written since.
        """
        if not torch.is_grad_enabled():
            key = strides(grads)
            if key not in self.pulls and len(self.pulls) < _MOST_PULLS:
                self.pulls[key] = self._further_pull(tensors, grads)
            pull = self.pulls.get(key)
            results: Any = OTHER if pull is None or pull.least > len(saved) else pull.run(saved, grads)
            if results is not OTHER:
                return results  # type: ignore[no-any-return]
        more = sum(max(0, edges - 1) for edges in self._edges)
        return None, *self._pull_plainly(tensors, as_given, grads), *[None] * more

    def _further_pull(self, tensors: Sequence[Tensor], grads: Grads) -> Pull | None:
        """The backward pass for such gradients, if it can be written.

        What is in the tensors, which may have been written since, decides nothing but the answers to questions.
        """
        try:
            with torch.enable_grad():
                return self._log_pull(self._logged(tensors), grads)
        except Untraceable:
            return None

    def _log_pull(self, logged: Logged, grads: Grads) -> Pull:
        """Log a backward pass, and write it with a forward pass that saves what it needs."""
        if logged.calls != self._calls:
            raise Untraceable("other calls than it made before")
        logged.pull(grads)
        self._edges = self._edges or logged.edges
        self.forward, pull = logged.written(self._saved, self._edges)
        assert pull is not None  # it has been logged
        return pull

    def _pull_plainly(self, tensors: Sequence[Tensor], as_given: bool, grads: Grads) -> Grads:
        """The gradients of the tensors by the function itself, differentiable where that is asked for."""
        if not as_given:
            raise RuntimeError(_WRITTEN)
        further = torch.is_grad_enabled()
        with torch.enable_grad():
            own = [x.view_as(x) if x.requires_grad else x for x in tensors]
            outs = tensors_in(self._called(own))
        pairs = [(out, grad) for out, grad in zip(outs, grads, strict=True) if grad is not None]
        wanted = [x for x in own if x.requires_grad]
        found = iter(
            torch.autograd.grad(
                [out for out, _ in pairs], wanted, [grad for _, grad in pairs], create_graph=further, allow_unused=True
            )
        )
        return [next(found) if x.requires_grad else None for x in own]

    def _logged(self, tensors: Sequence[Tensor]) -> Logged:
        return Logged(self._called, tensors, self._require)

    def _called(self, tensors: Sequence[Tensor]) -> Any:
        """The function, of the plain values of the trace and other tensors."""
        return self._function(*self._form.filled(tensors))


def _rows(grads: Grads) -> Grads:
    """The gradients, laid out alike."""
    return [None if grad is None else grad.contiguous().flatten() for grad in grads]


def _ramp(x: Tensor) -> Tensor:
    """A gradient of x whose elements are told apart."""
    return torch.full_like(x, 0.5).mul_(torch.linspace(0.5, 1.5, x.numel(), dtype=x.dtype).view(x.shape))


def strides(grads: Grads) -> object:
    """What tells gradients apart."""
    return tuple([None if grad is None else grad.stride() for grad in grads])


def _is_flat(result: Any) -> bool:
    if not isinstance(result, tuple | list):
        return False
    return all(isinstance(item, Tensor) or type(item) in ATOMS for item in result)


def _run(trace: _Trace, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The results where none of them requires a gradient."""
    results = trace.forward(*tensors[: trace.width])
    if results is OTHER:
        raise _Other
    return results  # type: ignore[no-any-return]


class _TracedNode(Node):
    """A traced call in autograd's graph."""

    @staticmethod
    def forward(ctx: Any, trace: _Trace, *tensors: Tensor) -> tuple[Tensor, ...]:
        tensors = tensors[: trace.width]
        results = trace.forward(*tensors)
        if results is OTHER:
            raise _Other
        outs = results[: trace.count]
        # A tensor that the context held itself would be in a cycle once a program has written what comes of it there.
        connected = [x for x in tensors if x.requires_grad]
        ctx.trace, ctx.others = trace, [None if x.requires_grad else x.detach() for x in tensors]
        ctx.connected = len(connected)
        ctx.versions = versions_of([x for x in ctx.others if x is not None])
        ctx.save_for_backward(*connected, *results[trace.count :])
        ctx.set_materialize_grads(False)
        if trace.constant:
            ctx.mark_non_differentiable(*[outs[place] for place in trace.constant])
        return outs  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        trace, saved = ctx.trace, ctx.saved_tensors[ctx.connected :]
        pull = trace.pulls.get(tuple([None if grad is None else grad.stride() for grad in grads]))
        if pull is not None and pull.least <= len(saved) and not torch.is_grad_enabled():
            results = pull.run(saved, grads)
            if results is not OTHER:
                return results
        connected = iter(ctx.saved_tensors)
        tensors = [next(connected) if x is None else x for x in ctx.others]
        as_given = versions_of([x for x in ctx.others if x is not None]) == ctx.versions
        return trace.pull(tensors, as_given, saved, grads)
