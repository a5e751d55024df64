"""Spans: between which two of its own entries a row counts, and entries held within them.

Where torch.compile takes custom Functions (kernels/numeric/tracing.py) which entries count is told in numbers, not by
masks: a compiled kernel keeps a mask of more than one use in memory, for the backward pass too, and to pack sixteen
bools and unpack them costs more than an exponential of sixteen numbers.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Span(NamedTuple):
    """The lowest and the highest of the entries that count, (..., [1]) each: constants; both 0 where none does."""

    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, x: Tensor) -> "Span":
        """That of all entries of x, (..., [n])."""
        fixed = x.detach()
        return cls(fixed.amin(dim=-1, keepdim=True), fixed.amax(dim=-1, keepdim=True))

    @property
    def middle(self) -> Tensor:
        """Halfway between the two, (..., [1])."""
        return self.low / 2.0 + self.high / 2.0

    def level(self, x: Tensor, inside: Tensor | None = None) -> Tensor:
        """-1 below the span, 1 above it, else 0: (..., [n]), constants, of x's dtype in graphs, else int8.

        `inside`: `clamped(x, self)`, where it is at hand in a graph that torch.compile records.
        """
        fixed = x.detach()
        if inside is not None:
            return beyond(fixed, inside.detach()).clamp(-1.0, 1.0)
        kind = x.dtype if torch.compiler.is_compiling() else torch.int8  # narrow integers are no vectors in kernels
        return (fixed > self.high).to(kind) - (fixed < self.low).to(kind)

    def counted(self, x: Tensor) -> Tensor:
        """Which entries lie within, (..., [n]) bool; in a row with a NaN all do."""
        fixed = x.detach()
        return ~((fixed < self.low) | (fixed > self.high))


def once(number: Tensor) -> Tensor:
    """A number of each row, (..., [1]), that a kernel compiled for the CPU works out once, and not in every vector.

    What is computed from rows is otherwise written into each loop that reads it; what is viewed by strides is memory.
    """
    return number.as_strided(number.shape, number.stride()) if number.device.type == "cpu" else number


def clamped(x: Tensor, span: Span) -> Tensor:
    """Entries (..., [n]) with those outside at the end of the span on their side, where they have no derivative."""
    return x.clamp(span.low, span.high)


def weight(x: Tensor, inside: Tensor) -> Tensor:
    """1 for entries x that are equal to their `inside` and 0 for others, (..., [n]), without a comparison."""
    return 1.0 - beyond(x, inside).abs().clamp(max=1.0)


def beyond(x: Tensor, inside: Tensor) -> Tensor:
    """0 for entries x that are equal to their `inside`, else a huge number on their side, (..., [n])."""
    # Any distance from a span, which is no rounding, becomes 1 at least, and that of a mask more than any score.
    return (x - inside) * 1e30  # a number of the module would be an input of the graph, which Functions do not get
