"""Operations whose gradient is infinite or NaN somewhere: guarded, which never changes a value.

What no branch of a `where` selects gets a derivative of 0, which an infinite one turns into NaN; so each operation that
has an infinite one is guarded where it stands, and `where` needs no guard of its own. To add one, give functions.guards
the function and RULES a record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

import softtorch
from softfx.rules.arithmetic import DIV, POW
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import is_discrete, through_real
from softfx.runtime import guards

__all__ = ["RULES"]

Site = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], bool]


def _refuse_integers(*operands: Any) -> None:
    tensors = [operand for operand in operands if isinstance(operand, Tensor)]
    if all(is_discrete(tensor) for tensor in tensors):
        raise Cut("its operand arrives as a hard integer or bool: the gradient was cut upstream")


def _unary(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any) -> Any:
        _refuse_integers(input)
        return context.call(function, input)

    return relax


def _binary(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def relax(context: RuleContext, input: Any, other: Any) -> Any:
        _refuse_integers(input, other)
        return context.call(function, input, other)

    return relax


def _norm(
    context: RuleContext, input: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, p: Any = None,
    dtype: Any = None,
) -> Any:  # fmt: skip
    """torch.norm, Tensor.norm, torch.linalg.norm and vector_norm: their second argument is the order."""
    _refuse_integers(input)
    order = p if p is not None else ord
    order = 2 if order in (None, "fro") else order
    return context.call(guards.norm, input, order, dim, keepdim=keepdim, dtype=dtype)


def _of_vectors(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a norm is one of vectors, and not of matrices."""
    order = kwargs.get("p", kwargs.get("ord", args[1] if len(args) > 1 else None))
    dim = kwargs.get("dim", args[2] if len(args) > 2 else None)
    if getattr(func, "__name__", "") == "vector_norm" or order in (None, "fro"):
        return True
    return isinstance(order, int | float) and not (isinstance(dim, Sequence) and len(dim) > 1)


def _by_reals(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a division is by a tensor of real numbers."""
    other = args[1] if len(args) > 1 else kwargs.get("other")
    return isinstance(other, Tensor) and other.is_floating_point() and kwargs.get("rounding_mode") is None


def _of_roots(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a power has an infinite derivative somewhere."""
    base, exponent = args[0], args[1] if len(args) > 1 else kwargs.get("exponent")
    if not isinstance(base, Tensor) or not base.is_floating_point():
        return False
    if isinstance(exponent, Tensor):
        return exponent.is_floating_point()
    return isinstance(exponent, float | int) and (exponent < 0 or exponent != int(exponent))


def _rule(
    code: str, op: str, relax: Callable[..., Any], soft: str, edge: str, *aliases: str, site: Site | None = None
) -> Rule:
    return Rule(
        code,
        op,
        "unsafe",
        f"Its derivative is infinite at {edge}: one such element turns a whole gradient into NaN.",
        "Keep it where the operand is bounded away from there.",
        "",
        soft=soft,
        relax=relax,
        carry=through_real(relax),
        aliases=aliases,
        options=(),
        drop_in=True,
        site=site,
    )


def _safe(code: str, op: str, function: Callable[..., Tensor], edge: str, *aliases: str) -> Rule:
    return _rule(code, op, _unary(function), f"softtorch.{function.__name__}", edge, *aliases)


def _guard(code: str, op: str, function: Callable[..., Tensor], edge: str, *aliases: str) -> Rule:
    return _rule(code, op, _unary(function), f"softfx.runtime.guards.{op}", edge, *aliases)


def _arithmetic(code: str, known: Rule, function: Callable[..., Tensor], edge: str, site: Site) -> Rule:
    """An operation of arithmetic that goes on carrying soft values as it does."""
    soft = f"softfx.runtime.guards.{known.op}"
    rule = _rule(code, known.op, _binary(function), soft, edge, *known.aliases, site=site)
    return replace(rule, carry=known.carry, becomes=known.becomes)


RULES = (
    _safe("SX901", "sqrt", softtorch.sqrt, "0"),
    _safe("SX902", "log", softtorch.log, "0"),
    _safe("SX903", "asin", softtorch.arcsin, "-1 and 1", "arcsin"),
    _safe("SX904", "acos", softtorch.arccos, "-1 and 1", "arccos"),
    replace(_arithmetic("SX905", DIV, guards.div, "a divisor of 0", _by_reals), preserves=True),
    _arithmetic("SX906", POW, guards.pow, "0, for exponents below 1", _of_roots),
    _rule("SX907", "norm", _norm, "softfx.runtime.guards.norm", "the zero vector, from its second on", "vector_norm",
          site=_of_vectors),
    replace(_guard("SX908", "reciprocal", guards.reciprocal, "0"), preserves=True),
    replace(_guard("SX909", "rsqrt", guards.rsqrt, "0"), preserves=True),
    _guard("SX910", "log2", guards.log2, "0"),
    _guard("SX911", "log10", guards.log10, "0"),
    _guard("SX912", "log1p", guards.log1p, "-1"),
    _guard("SX913", "acosh", guards.acosh, "1", "arccosh"),
    _guard("SX914", "atanh", guards.atanh, "-1 and 1", "arctanh"),
    _rule("SX915", "hypot", _binary(guards.hypot), "softfx.runtime.guards.hypot", "(0, 0)"),
)  # fmt: skip
