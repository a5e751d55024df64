"""The arguments of a call by the names that its rule gives them."""

from __future__ import annotations

from softfx.interpreter.call import Call
from softfx.ops.calls import signature_of
from softfx.ops.spelling import arguments
from softfx.rules.units import Operands

__all__ = ["operands_of"]

_NO_OPERANDS = ("out", "inplace")


def operands_of(call: Call) -> Operands | None:
    """The call's own arguments by the names of its rule's parameters; None where they do not fit."""
    function = call.rule.relax if call.rule is not None else None
    if function is None:
        return None
    kwargs = {key: value for key, value in call.kwargs.items() if key not in _NO_OPERANDS}
    args, kwargs = arguments(call.spelled, call.args, kwargs)
    try:
        bound = signature_of(function).bind(None, *args, **kwargs)
    except TypeError:  # the soft form will refuse them, and say why
        return None
    bound.apply_defaults()
    context = next(iter(bound.arguments))
    return {name: value for name, value in bound.arguments.items() if name != context} | {"function": call.func}
