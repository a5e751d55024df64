"""Which relaxation methods a policy may name, read from softtorch's table of them, and for what they serve."""

from __future__ import annotations

from softtorch.methods import METHODS

__all__ = ["METHOD_NAMES", "NETWORK", "NETWORK_METHOD", "misfit"]

# The options of one method only.
NETWORK_METHOD = "sorting_network"
NETWORK = ("swap", "error_free", "layout")

# A method that gives neither values nor indices (top-k masks only) answers no operation of torch.
METHOD_NAMES = tuple(name for name, method in METHODS.items() if method.has_values or method.has_rows)


def misfit(op: str, method: object, mode: object) -> str | None:
    """Why `method` in `mode` cannot serve the operation `op` ("" for any), or None if it can."""
    if method not in METHODS:
        return None
    chosen = METHODS[str(method)]
    if isinstance(mode, str) and mode not in chosen.modes:
        modes = ", ".join(chosen.modes)
        return f"method {method!r} is not defined in mode {mode!r}. Its modes: {modes}."
    if op.startswith("arg") and not chosen.has_rows:
        able = ", ".join(name for name in METHOD_NAMES if METHODS[name].has_rows)
        return f"method {method!r} gives no soft indices, which {op} needs. Methods with indices: {able}."
    return None
