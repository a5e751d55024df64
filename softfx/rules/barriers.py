"""Operations that no soft value can pass: Python reads the value, or the shape of the result depends on it.

Which of these an operation does is a fact of its record (`Operation.effect`, read by `Rule.barrier`). To add one,
append a record to RULES.
"""

from __future__ import annotations

from softfx import ops
from softfx.ops.operation import Operation
from softfx.rules.rule import Barrier, Rule

__all__ = ["INSTEAD", "RULES"]

_BRANCH = "Python takes one way or the other by the value: a branch has no derivative."
_NUMBER = "Python reads the value: the number it becomes has no derivative."
_PLACES = (
    "What is read at the places of a soft mask, and written or added there, is soft as under the mask itself; what "
    "else is made of places is hard."
)
_SHAPE = "The shape of the result depends on data."

# What a program may do in their place.
INSTEAD: dict[Barrier, str] = {
    "branch": (
        "An `if` computes one way alone: compute both ways and choose by torch.where(condition, a, b), or name "
        'op = "branch" in a policy, which takes further passes.'
    ),
    "number": "A number that Python reads has no gradient: leave it a tensor (x.sum() in place of x.sum().item()).",
    "shape": (
        "How many elements are selected has no gradient: reduce under the mask, as in (x * mask).sum() / mask.sum()."
    ),
}


def _rule(code: str, operation: Operation, why: str, advice: str = "Always hard.") -> Rule:
    return Rule(code, operation, "selection", why, advice, "", options=())


RULES = (
    _rule("SX951", ops.item, _NUMBER),
    _rule("SX952", ops.tolist, _NUMBER),
    _rule("SX953", ops.numpy, _NUMBER),
    _rule("SX954", ops.is_nonzero, _BRANCH),
    _rule("SX955", ops.equal, _BRANCH),
    _rule("SX956", ops.allclose, _BRANCH),
    _rule("SX961", ops.nonzero, _SHAPE, _PLACES),
    _rule("SX962", ops.argwhere, _SHAPE, _PLACES),
    _rule("SX964", ops.unique_consecutive, _SHAPE),
    _rule("SX965", ops.masked_select, _SHAPE),
)
