"""Operations whose gradient is infinite or NaN somewhere: guarded, which never changes a value.

An element that no branch of a `where` selects gets a derivative of 0, which an infinite one turns into NaN; so each
operation that has an infinite one is guarded where it stands, and `where` needs no guard of its own. To add one, give
runtime.guards the function and RULES a record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Operation
from softfx.rules.arithmetic import DIV, POW
from softfx.rules.context import Operand, RuleContext, RuleFunction
from softfx.rules.readings import through_real
from softfx.rules.refusals import refuse_discrete
from softfx.rules.rule import Rule
from softfx.runtime import guards

__all__ = ["RULES"]

# is_site(func, args, kwargs): see softfx.rules.rule.
IsSite = Callable[[Function, Args, Kwargs], bool]


# -- guards ------------------------------------------------------------------------------------------------------------


def _unary(function: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation by a guarded function of one operand."""

    def relax(context: RuleContext, input: Operand) -> Tensor:
        refuse_discrete(input)
        return context.call(function, input)

    return relax


def _binary(function: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation by a guarded function of two operands."""

    def relax(context: RuleContext, input: Operand, other: Operand) -> Tensor:
        refuse_discrete(input, other)
        return context.call(function, input, other)

    return relax


def _norm(
    context: RuleContext, input: Operand, ord: float | str | None = None, dim: int | Sequence[int] | None = None,
    keepdim: bool = False, *, p: float | str | None = None, dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """A norm as torch.norm, Tensor.norm, torch.linalg.norm and vector_norm take it: the order comes second."""
    refuse_discrete(input)
    order = p if p is not None else ord
    order = 2 if order in (None, "fro") else order
    return context.call(guards.norm, input, order, dim, keepdim=keepdim, dtype=dtype)


# -- calls that are sites ----------------------------------------------------------------------------------------------


def _of_vectors(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True for a norm of vectors, and False for one of matrices."""
    order = kwargs.get("p", kwargs.get("ord", args[1] if len(args) > 1 else None))
    dim = kwargs.get("dim", args[2] if len(args) > 2 else None)
    if func is torch.linalg.vector_norm or order in (None, "fro"):
        return True
    return isinstance(order, int | float) and not (isinstance(dim, Sequence) and len(dim) > 1)


def _by_reals(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True for a division by a tensor of real numbers."""
    other = args[1] if len(args) > 1 else kwargs.get("other")
    return isinstance(other, Tensor) and other.is_floating_point() and kwargs.get("rounding_mode") is None


def _of_roots(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True for a power that has an infinite derivative somewhere."""
    base, exponent = args
    if not isinstance(base, Tensor) or not base.is_floating_point():
        return False
    if isinstance(exponent, Tensor):
        return exponent.is_floating_point()
    return isinstance(exponent, float | int) and (exponent < 0 or exponent != int(exponent))


# -- records -----------------------------------------------------------------------------------------------------------

_GUARDED = "the value as it is; the derivative as it is where it is finite and the value is not NaN, and 0 elsewhere"


def _rule(
    code: str, operation: Operation, relax: RuleFunction, edge: str, *, soft: str = "",
    is_site: IsSite | None = None, keeps_value: bool = False,
) -> Rule:  # fmt: skip
    """The record of an operation whose derivative is infinite at `edge`."""
    return Rule(
        code,
        operation,
        "unsafe",
        f"Its derivative is infinite at {edge}: one such element turns a whole gradient into NaN.",
        "Keep it where the operand is bounded away from there.",
        "",
        formula=_GUARDED,
        soft=soft or f"softfx.runtime.guards.{operation.name}",
        relax=relax,
        propagate=through_real(relax),
        options=(),
        drop_in=True,
        keeps_value=keeps_value,
        is_site=is_site,
    )


def _safe(code: str, operation: Operation, function: Callable[..., Tensor], edge: str) -> Rule:
    """The record of an operation that softtorch has a safe form of."""
    return _rule(code, operation, _unary(function), edge, soft=f"softtorch.{function.__name__}")


def _guard(
    code: str, operation: Operation, function: Callable[..., Tensor], edge: str, *, keeps_value: bool = False
) -> Rule:
    """The record of an operation of one operand that is guarded."""
    return _rule(code, operation, _unary(function), edge, keeps_value=keeps_value)


def _arithmetic(
    code: str, known: Rule, function: Callable[..., Tensor], edge: str, is_site: IsSite, *, keeps_value: bool = False
) -> Rule:
    """The record of an operation of arithmetic, which goes on propagating soft values as it does."""
    rule = _rule(code, known.operation, _binary(function), edge, is_site=is_site, keeps_value=keeps_value)
    return replace(rule, propagate=known.propagate, becomes=known.becomes)


RULES = (
    _safe("SX901", ops.sqrt, softtorch.sqrt, "0"),
    _safe("SX902", ops.log, softtorch.log, "0"),
    _safe("SX903", ops.asin, softtorch.arcsin, "-1 and 1"),
    _safe("SX904", ops.acos, softtorch.arccos, "-1 and 1"),
    _arithmetic("SX905", DIV, guards.div, "a divisor of 0", _by_reals, keeps_value=True),
    _arithmetic("SX906", POW, guards.pow, "0, for exponents below 1", _of_roots),
    _rule("SX907", ops.norm, _norm, "the zero vector, from its second on", is_site=_of_vectors),
    _guard("SX908", ops.reciprocal, guards.reciprocal, "0", keeps_value=True),
    _guard("SX909", ops.rsqrt, guards.rsqrt, "0", keeps_value=True),
    _guard("SX910", ops.log2, guards.log2, "0"),
    _guard("SX911", ops.log10, guards.log10, "0"),
    _guard("SX912", ops.log1p, guards.log1p, "-1"),
    _guard("SX913", ops.acosh, guards.acosh, "1"),
    _guard("SX914", ops.atanh, guards.atanh, "-1 and 1"),
    _rule("SX915", ops.hypot, _binary(guards.hypot), "(0, 0)"),
)
