"""Where no soft value can pass: Python reads the value, or the result's shape depends on it."""

from __future__ import annotations

from softfx.rules.rule import Barrier, Rule

__all__ = ["RULES"]


def _rule(code: str, op: str, barrier: Barrier, *aliases: str) -> Rule:
    return Rule(
        code, op, "selection", _WHY[barrier], "Always hard.", "", aliases=aliases, options=(), barrier=barrier
    )  # fmt: skip


_WHY: dict[Barrier, str] = {
    "branch": "Python takes one way or the other by the value: a branch has no derivative.",
    "number": "Python reads the value: the number it becomes has no derivative.",
    "shape": "The shape of the result depends on data.",
}

RULES = (
    _rule("SX951", "item", "number", "__int__", "__float__", "__index__", "__complex__"),
    _rule("SX952", "tolist", "number"),
    _rule("SX953", "numpy", "number", "__array__"),
    _rule("SX954", "is_nonzero", "branch", "__bool__"),
    _rule("SX955", "equal", "branch"),
    _rule("SX956", "allclose", "branch"),
    _rule("SX961", "nonzero", "shape"),
    _rule("SX962", "argwhere", "shape"),
    _rule("SX964", "unique_consecutive", "shape"),
    _rule("SX965", "masked_select", "shape"),
)
