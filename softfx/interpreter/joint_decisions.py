"""How many decisions become one: `(x > low) & (x < high)`, `all` of a row, a product of masks.

Planning counts them, for the softness that "auto" takes of each depends on how many there are (softfx.rules.units). To
have another operation join bools, name it in TWO or in ROWS.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from softfx import ops
from softfx.interpreter.call import Call
from softfx.values import SoftBool

__all__ = ["Joins", "of"]

TWO = (ops.logical_and, ops.logical_or, ops.mul)
"""Operations of two bools that make one of them."""
ROWS = (ops.any, ops.all, ops.prod, ops.amin, ops.amax)
"""Operations that make one bool of each row of them."""

# So far they are counted: a loop that joins its own result may go on for ever.
_MOST = 1 << 16


@dataclass(frozen=True)
class Joins:
    """The decisions in the operands of a call.

    count: how many there are in one element of the operands.
    entries: the elements of the operand whose rows become one bool each; 0 where elements stay apart.
    """

    count: int
    entries: int = 0

    def into(self, result: Tensor) -> int:
        """How many decisions there are in one element of the result."""
        rows = self.entries // max(1, result.numel())
        return min(_MOST, self.count * max(1, rows))


def of(call: Call) -> Joins | None:
    """What a call makes of the masks among its operands: bools, and products of them; None if there are none."""
    counts = [soft.joint for soft in call.softs if isinstance(soft, SoftBool) or soft.joint > 1]
    if not counts:
        return None
    if call.operation in TWO:
        return Joins(sum(counts))
    return Joins(max(counts), call.tensors[0].numel() if call.operation in ROWS else 0)
