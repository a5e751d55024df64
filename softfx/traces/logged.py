"""One call of a function, logged on tensors of its own, and its backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softfx.ops.trees import tensors_in
from softfx.torch_private import base_of
from softfx.traces.aten_private import is_same
from softfx.traces.lines import Lines
from softfx.traces.log import Called, Log, Untraceable
from softtorch.kernels.numeric.questions import heard_by

__all__ = ["Grads", "Logged", "Pull"]

Grads = Sequence[Tensor | None]
Run = Callable[..., Any]


class Pull(NamedTuple):
    """A backward pass.

    run: of what is saved, and of the gradients of the outs, to None and the gradients of the tensors.
    least: how much has to be saved.
    """

    run: Run
    least: int


class Logged:
    """A call of a function of tensors, under the present grad mode.

    require: which tensors require a gradient.
    result: what it gave.
    outs: the tensors in that.
    pulled, edges: the gradient of each tensor, and how many come to it, once the backward pass has been logged.

    Raises:
        Untraceable: another call with tensors of these forms need not be like this one.
    """

    def __init__(
        self, function: Callable[[Sequence[Tensor]], Any], tensors: Sequence[Tensor], require: Sequence[bool]
    ) -> None:
        self._given = [x.detach() for x in tensors]
        self._leaves = [_copied(x).requires_grad_(requires) for x, requires in zip(self._given, require, strict=True)]
        self._lines, log = Lines(self._leaves), Log()
        grad_mode = torch.is_grad_enabled()
        try:
            with heard_by(log), log:
                self.result = function(self._leaves)
        finally:  # what is untraceable may have been met inside a block of the function
            torch.set_grad_enabled(grad_mode)
            torch.set_autocast_enabled("cpu", False)
        self.outs = tensors_in(self.result)
        self._forward = self._lines.add(log.entries)
        self._numbers = [self._lines.number(out) for out in self.outs]
        self.calls = [entry.func for entry in log.entries if isinstance(entry, Called)]
        if any(map(self._lines.is_given, self._numbers)):
            raise Untraceable("a result that shares memory with what the call was given")
        if len(set(map(self._lines.memory, self._numbers))) < len(self._numbers):
            raise Untraceable("results that share memory, which are written together")
        self._views = [place for place, out in enumerate(self.outs) if base_of(out) is not None and not _overlaps(out)]
        if any(self.outs[place].clone().stride() != self.outs[place].stride() for place in self._views):
            raise Untraceable("a view that has no copy of its strides")
        self.pulled: Grads = []
        self.edges = [0] * len(self._leaves)
        self._grads: Grads = ()
        self._grad_places: dict[int, int] = {}

    def pull(self, grads: Grads) -> None:
        """Log the backward pass of gradients of the outs.

        Raises:
            Untraceable: it is another one at each call, or there is none.
        """
        log, wanted = Log(), [leaf for leaf in self._leaves if leaf.requires_grad]
        pairs = [(out, grad) for out, grad in zip(self.outs, grads, strict=True) if grad is not None]
        given = [grad for _, grad in pairs]
        places = [place for place, grad in enumerate(grads) if grad is not None]
        self._grads, self._grad_places = grads, dict(zip(self._lines.give(given), places, strict=True))
        log.watch([out for out, _ in pairs])
        try:
            with heard_by(log), log:
                found = iter(torch.autograd.grad([out for out, _ in pairs], wanted, given, allow_unused=True))
        except RuntimeError as error:  # of torch, which the program gets if it asks for the gradient
            raise Untraceable("it has no gradient") from error
        finally:
            log.unwatch()
        self._backward = self._lines.add(log.entries)
        self.pulled = [next(found) if leaf.requires_grad else None for leaf in self._leaves]
        self._summands = [
            [] if grad is None else self._lines.summands(self._lines.number(grad), self._backward)
            for grad in self.pulled
        ]
        self.edges = [*map(len, self._summands)]

    def written(self, saved: list[int], edges: Sequence[int]) -> tuple[Run, Pull | None]:
        """The forward pass, of the tensors to the outs and what is saved, and the backward pass if it was logged.

        saved: the variables that are saved already; those that this backward pass needs, too, are appended.
        edges: to how many edges of each tensor the backward pass gives gradients, those behind the first ones last.
        """
        lines = self._lines
        pulled = [*self._on_edges(edges)] if self._grads else []
        results = [number for number in pulled if number is not None]
        lines.fold([*self._numbers, *results])
        given = list(range(len(self._leaves)))
        pull = None
        if self._grads:
            needs = lines.uses(self._backward, results, self._grad_places)
            saved += [number for number in needs if number not in saved]
            places = {number: saved.index(number) for number in needs}
            sequences = {"saved": places, "grads": self._grad_places}
            # What is saved is no gradient to be added to.
            copied = [place for place, number in enumerate(pulled, 1) if number is not None and self._is_saved(number)]
            run = lines.function(self._backward, [], [None, *pulled], sequences, copied)
            pull = Pull(run, 1 + max(places.values(), default=-1))
        # A program may write what it gets, which torch refuses for views that a Function has given.
        forward = lines.function(self._forward, given, [*self._numbers, *saved], {}, self._views)
        self._check(forward, pull, edges)
        return forward, pull

    def _is_saved(self, number: int) -> bool:
        """Return True for a gradient in memory that the backward pass has not made or got, and that can be written."""
        lines = self._lines
        is_own = not lines.is_given(number) or lines.memory(number) in map(lines.memory, self._grad_places)
        return not is_own and not _overlaps(lines.tensor(number))

    def _on_edges(self, edges: Sequence[int]) -> Iterator[int | None]:
        """The variables that edges get: the engine adds them up in their order, as it did."""
        if any(len(summands) > count for summands, count in zip(self._summands, edges, strict=True)):
            raise Untraceable("more gradients than there are edges")
        yield from (summands[0] if summands else None for summands in self._summands)
        for summands, count in zip(self._summands, edges, strict=True):
            yield from (*summands[1:], *[None] * (count - max(1, len(summands))))

    def _check(self, forward: Run, pull: Pull | None, edges: Sequence[int]) -> None:
        """See that the functions give what was logged."""
        with torch.no_grad():
            results = forward(*self._leaves)
            same = is_same(list(results[: len(self.outs)]), self.outs)
            if pull is not None:
                _, *pulled = pull.run(results[len(self.outs) :], self._grads)
                wanted = [None if number is None else self._lines.tensor(number) for number in self._on_edges(edges)]
                same &= is_same(pulled, wanted)
        if not is_same(self._leaves, self._given):  # not every call of aten that writes says so
            raise Untraceable("it writes what it was given")
        if not same:
            raise Untraceable("it computes something else when it is called again")


def _copied(x: Tensor) -> Tensor:
    """A copy with the same strides; of an expanded tensor, which nothing can write, another one of the same memory."""
    if _overlaps(x):
        return x.detach()
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device).copy_(x)


def _overlaps(x: Tensor) -> bool:
    """Return True for an expanded tensor, which nothing can write."""
    return any(size > 1 and stride == 0 for size, stride in zip(x.shape, x.stride(), strict=True))
