"""The relaxation methods that a policy may name, read from softtorch's table, and the reasons why one does not fit."""

from __future__ import annotations

from softfx.rules.rule import Rule
from softfx.rules.soft_operator import chooses_indices
from softtorch.methods import METHODS
from softtorch.modes import MODES

__all__ = ["METHOD_NAMES", "NETWORK", "NETWORK_METHOD", "misfit"]

# The options of one method only.
NETWORK_METHOD = "sorting_network"
NETWORK = ("swap", "error_free", "layout")

# A method that gives neither values nor indices (top-k masks only) answers no operation of torch.
METHOD_NAMES = tuple(name for name, method in METHODS.items() if method.has_values or method.has_rows)


def misfit(rule: Rule | None, method: object, mode: object) -> str | None:
    """The reason why `method` in `mode` cannot serve the operation of `rule`, or None if it can.

    rule: None stands for no operation in particular; then only the mode can be a misfit.
    """
    if method not in METHODS:
        return None
    chosen = METHODS[str(method)]
    mode = chosen.mode_of(MODES[mode]).name if isinstance(mode, str) and mode in MODES else mode
    if isinstance(mode, str) and mode not in chosen.modes:
        modes = ", ".join(chosen.modes)
        return f"method {method!r} is not defined in mode {mode!r}. Its modes: {modes}."
    if rule is not None and not chosen.has_rows and chooses_indices(rule):
        able = ", ".join(name for name in METHOD_NAMES if METHODS[name].has_rows)
        return f"method {method!r} gives no soft indices, which {rule.name} needs. Methods with indices: {able}."
    return None
