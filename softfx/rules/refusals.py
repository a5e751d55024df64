"""Refusals: why a rule cannot take its operands softly, the texts that rules share written once.

A rule that raises `CannotSoften` leaves the call as the program makes it; the report gives the text as the reason.
"""

from __future__ import annotations

from typing import TypeGuard

from torch import Tensor

from softfx.runtime import elements

__all__ = ["ARRIVES_HARD", "AS_NUMBER", "OUTGROWN", "OVERLAPPED", "CannotSoften", "is_discrete", "refuse_discrete"]

AS_NUMBER = "a soft value stands where a size, an axis or a bound is wanted, which is one number"
ARRIVES_HARD = "its operand arrives as a hard integer or bool: the gradient was cut upstream"
OVERLAPPED = "it writes into a part of a tensor that was expanded, whose elements share memory; clone() it before"
OUTGROWN = "it writes a view that reaches beyond what it is a view of, as out= makes one: no derivative goes back there"


class CannotSoften(Exception):
    """A rule cannot take these operands softly: the operation gets hard values, and the report says why."""


def is_discrete(operand: object) -> TypeGuard[Tensor]:
    """Return True for a hard tensor of integers or bools."""
    return isinstance(operand, Tensor) and elements.is_discrete(operand)


def refuse_discrete(*operands: object) -> None:
    """Refuse operands whose tensors are all hard integers or bools: nothing is left to relax."""
    tensors = [operand for operand in operands if isinstance(operand, Tensor)]
    if tensors and all(is_discrete(tensor) for tensor in tensors):
        raise CannotSoften(ARRIVES_HARD)
