"""What a real tensor would be had nothing upstream been softened: what Python's branches and hard decisions go by.

Under a soft policy the program's real tensors are soft values. A loop that runs until nothing changes, a check of the
result, a decision that stays hard must still see the original's values, or it may go where the original never went.
They are computed when something asks for them, from the hard values of the operands, and only through calls that give
the same for the same operands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from softfx.interpreter.backends import Backend, Call
from softfx.values.domains import map_tensors, tensors_in

__all__ = ["Behind", "Follow", "follow", "version"]

# Parts of the names of functions that draw random numbers or keep statistics: to run them again is to change them.
_UNREPEATABLE = ("dropout", "rand", "normal_", "bernoulli", "multinomial", "poisson", "rrelu", "gumbel", "fractional",
                 "batch_norm", "instance_norm", "lstm", "gru", "rnn", "scaled_dot_product", "exponential")  # fmt: skip


def version(tensor: Tensor) -> int:
    """How often a tensor has been written in place."""
    return -1 if tensor.is_inference() else tensor._version


@dataclass(eq=False)
class Behind:
    """One call still to be made on hard operands."""

    call: Call | None
    versions: list[int]
    template: Any
    hards: list[Tensor] | None = None  # the tensors in its result, once it is made; empty if it cannot be

    def value(self, position: int, backend: Backend) -> Tensor | None:
        """The tensor at `position` among those in the call's result, or None if an operand has been overwritten."""
        waiting = [self]
        while waiting:  # a loop, not a recursion: the calls behind a value are as many as the program likes
            last = waiting[-1]
            ahead = last._unmade()
            waiting.extend(ahead)
            if not ahead:
                waiting.pop()._make(backend)
        return self.hards[position] if self.hards else None

    def _unmade(self) -> list[Behind]:
        if self.call is None:
            return []
        hards = (known.hard for known in self.call.known)
        return [hard.behind for hard in hards if isinstance(hard, Follow) and hard.behind.hards is None]

    def _make(self, backend: Backend) -> None:
        if self.call is None:
            return
        call, self.call = self.call, None
        if [version(tensor) for tensor in call.tensors] != self.versions:
            self.hards = []
            return
        hard = {id(tensor): _made(tensor, known.hard) for tensor, known in zip(call.tensors, call.known, strict=True)}
        args, kwargs = map_tensors(lambda tensor: hard[id(tensor)], (call.args, call.kwargs))
        with torch.no_grad():
            self.hards = tensors_in(backend.again(call.func, args, kwargs, self.template))


@dataclass(eq=False)
class Follow:
    """The hard value of one tensor in the result of a call."""

    behind: Behind
    position: int

    def value(self, backend: Backend) -> Tensor | None:
        return self.behind.value(self.position, backend)


def _made(tensor: Tensor, hard: Any) -> Tensor:
    if isinstance(hard, Follow):
        return hard.behind.hards[hard.position] if hard.behind.hards else tensor
    return tensor if hard is None else hard


def follow(call: Call, result: Any, backend: Backend) -> Callable[[int], Follow | None]:
    """For each tensor in the result of a plain call, by position: how to know its hard value."""
    if not call.has_hard:
        return _nothing
    name = str(getattr(call.func, "__name__", ""))
    repeatable = call.written is None and not any(part in name for part in _UNREPEATABLE)
    if not repeatable:
        return _nothing
    behind = Behind(call, [version(tensor) for tensor in call.tensors], backend.template(result))
    return lambda position: Follow(behind, position)


def _nothing(position: int) -> None:
    return None
