"""Where no soft value can pass: Python reads the value, or the result's shape depends on it."""

from __future__ import annotations

from softfx.rules.rule import Rule

__all__ = ["READS", "RULES", "SHAPES"]

READS = ("item", "tolist", "numpy", "is_nonzero", "equal", "allclose")
SHAPES = ("nonzero", "argwhere", "unique", "unique_consecutive", "masked_select", "bincount")


def _rule(code: str, op: str, why: str, *aliases: str) -> Rule:
    return Rule(code, op, "selection", why, "Always hard.", "", aliases=aliases, options=(), barrier=True)


_READ = "Python reads the value: what follows is a branch or a number without a derivative."
_SHAPE = "The shape of the result depends on data."
_DUNDERS = {"item": ("__bool__", "__int__", "__float__", "__index__", "__complex__"), "numpy": ("__array__",)}

RULES = (
    *(_rule(f"SX95{i}", op, _READ, *_DUNDERS.get(op, ())) for i, op in enumerate(READS)),
    *(_rule(f"SX96{i}", op, _SHAPE) for i, op in enumerate(SHAPES)),
)
