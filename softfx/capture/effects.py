"""The facts of torch operations that captures and `verify` need: the one place where they ask for them.

No other file of the cross-checks or of `verify` looks an operation up.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, fx

from softfx import ops, torch_private
from softfx.interpreter.call import is_site
from softfx.ops.calls import Function
from softfx.ops.operation import Effect
from softfx.ops.spelling import INDEX
from softfx.rules import rule_of

__all__ = [
    "draws",
    "function_called",
    "has_effect",
    "is_metadata",
    "is_out_of_sight",
    "may_be_site",
    "operation_name",
    "writes",
]


def operation_name(func: Function) -> str | None:
    """The canonical name of the operation that `func` spells, or None if no rule knows it."""
    rule = rule_of(INDEX.of(func).operation)
    return None if rule is None else rule.name


def is_metadata(func: Function) -> bool:
    """Return True if the Python value that `func` returns does not depend on the elements of its operands."""
    return bool(INDEX.of(func).operation.effect & (Effect.METADATA | Effect.HISTORY))


def is_out_of_sight(func: Function) -> bool:
    """Return True for a call whose work Python does out of torch's sight: a graph would hold its result as a constant.

    >>> is_out_of_sight(Tensor.apply_), is_out_of_sight(Tensor.abs_)
    (True, False)
    """
    return INDEX.of(func).operation is ops.deepcopy or func in (Tensor.apply_, Tensor.map_)


def draws(func: Function) -> bool:
    """Return True if a call of `func` draws random numbers."""
    return bool(INDEX.of(func).operation.effect & Effect.DRAWS)


def writes(func: Function, kwargs: Mapping[str, object]) -> bool:
    """Return True if a call of `func` writes one of its operands."""
    return INDEX.of(func).writes(kwargs)


def has_effect(func: Function, kwargs: Mapping[str, object]) -> bool:
    """Return True if a call does more than compute its result: it draws, writes, or switches gradients."""
    return func is torch_private.set_grad_enabled or draws(func) or writes(func, kwargs)


def may_be_site(func: Function, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bool:
    """Return True if a call needs a decision where its operands depend on a source: it has a derivative to lose."""
    spelled = INDEX.of(func)
    rule = rule_of(spelled.operation)
    return rule is not None and is_site(rule, spelled, func, args, dict(kwargs))


def function_called(node: fx.Node) -> Function:
    """The function that a call node makes; a property of a tensor is known by its getter."""
    if node.target is getattr:
        getter: Function = getattr(Tensor, str(node.args[1])).__get__
        return getter
    assert callable(node.target)
    return node.target
