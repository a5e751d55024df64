"""Operations whose gradient is infinite or NaN somewhere: guarded, which never changes a value.

An element that no branch of a `where` selects gets a derivative of 0, which an infinite one turns into NaN; so each
operation that has an infinite one is guarded where it stands, and `where` needs no guard of its own. To add one, give
runtime.guards the function and RULES a record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Operation
from softfx.rules.arithmetic import DIV, POW
from softfx.rules.context import Operand, RuleContext, RuleFunction, Shadow
from softfx.rules.readings import out_of_place, through_real
from softfx.rules.refusals import is_discrete, refuse_discrete
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


def _of_all(function: Callable[..., Tensor]) -> RuleFunction:
    """The relaxation by a guarded function that takes the call's own arguments."""

    def relax(context: RuleContext, *args: object, **kwargs: object) -> Tensor:
        return context.call(function, *args, **kwargs)

    return relax


def _by_gradient(context: RuleContext, *args: object, **kwargs: object) -> Shadow:
    """The call as the program makes it, on operands to which only finite gradients go back."""
    result: Shadow = _on_held(partial(context.call, out_of_place(context)), context, _is_real, args, kwargs)
    return result


def _with_room(relax: RuleFunction) -> RuleFunction:
    """A relaxation whose float16 operands get finite gradients alone.

    A derivative that is finite, times a gradient that is, is often too large for that type: of x / x both terms are.
    """

    def guarded(context: RuleContext, *args: object, **kwargs: object) -> Shadow:
        result: Shadow = _on_held(partial(relax, context), context, _is_short, args, kwargs)
        return result

    return guarded


def _on_held(
    function: Callable[..., Shadow], context: RuleContext, held: Callable[[object], bool], args: Args, kwargs: Kwargs
) -> Shadow:
    """The function of operands of which those that are `held` get finite gradients alone."""

    def guarded(operand: object) -> object:
        return context.call(guards.passing_finite, operand) if held(operand) else operand

    return function(*map(guarded, args), **{key: guarded(value) for key, value in kwargs.items()})


def _is_real(operand: object) -> bool:
    return isinstance(operand, Tensor) and not is_discrete(operand)


def _is_short(operand: object) -> bool:
    return isinstance(operand, Tensor) and operand.dtype == torch.float16


def _norm(
    context: RuleContext, input: Operand, ord: float | str | None = None, dim: int | Sequence[int] | None = None,
    keepdim: bool = False, *, p: float | str | None = None, dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """A norm as torch.norm, Tensor.norm, torch.linalg.norm and vector_norm take it: the order comes second."""
    refuse_discrete(input)
    order = p if p is not None else ord
    order = 2 if order in (None, "fro") else order
    return context.call(guards.norm, input, order, dim, keepdim=keepdim, dtype=dtype)


def _kl_div(context: RuleContext, *operands: object, **options: object) -> Tensor:
    """Without a word on it F.kl_div averages, torch.kl_div does not reduce, and aten.kl_div averages."""
    if len(operands) < 3 and context.func is not F.kl_div:
        options.setdefault("reduction", 0 if context.func is torch.kl_div else 1)
    return context.call(guards.kl_div, *operands, **options)


# -- calls that are sites ----------------------------------------------------------------------------------------------


def _of_vectors(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True for a norm of vectors, and False for one of matrices, or for a sum of sizes: its slopes are signs."""
    order = kwargs.get("p", kwargs.get("ord", args[1] if len(args) > 1 else None))
    dim = kwargs.get("dim", args[2] if len(args) > 2 else None)
    if order == 1:
        return False
    if func is torch.linalg.vector_norm or order in (None, "fro"):
        return True
    return isinstance(order, int | float) and not (isinstance(dim, Sequence) and len(dim) > 1)


def _by_reals(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True for a division by a tensor of real numbers."""
    other = args[1] if len(args) > 1 else kwargs.get("other")
    return isinstance(other, Tensor) and other.is_floating_point() and kwargs.get("rounding_mode") is None


def _of_powers(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True for a power that has an infinite derivative somewhere: all but the zeroth and the first."""
    operands = (*args, *kwargs.values())
    if not any(isinstance(operand, Tensor) and operand.is_floating_point() for operand in operands):
        return False
    exponent = args[1] if len(args) > 1 else kwargs.get("exponent")
    return isinstance(exponent, Tensor) or exponent not in (0, 1)


def _without(place: int, name: str, default: float) -> IsSite:
    """A question that is True for calls whose argument `name`, at `place`, adds nothing to a divisor.

    None stands for a number that torch chooses, as the machine epsilon in `rms_norm`.
    """

    def is_site(func: Function, args: Args, kwargs: Kwargs) -> bool:
        added = args[place] if len(args) > place else kwargs.get(name, default)
        return added is not None and bool(added <= 0)

    return is_site


def _by_input(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True for an instance normalization by the input's own statistics, without an epsilon."""
    own = args[5] if len(args) > 5 else kwargs.get("use_input_stats", True)
    return bool(own) and _without(7, "eps", 1e-5)(func, args, kwargs)


def _by_tanh(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True for the approximation of gelu by tanh, whose derivative squares the input."""
    return bool(kwargs.get("approximate", "none") != "none")


# -- records -----------------------------------------------------------------------------------------------------------

_GUARDED = "the value as it is; the derivative as it is where it is finite and the value is not NaN, and 0 elsewhere"


def _rule(
    code: str, operation: Operation, relax: RuleFunction, edge: str, *, soft: str = "",
    is_site: IsSite | None = None, keeps_value: bool = False,
) -> Rule:  # fmt: skip
    """The record of an operation whose derivative is infinite at `edge`, a point, or words that begin with "where"."""
    at = edge if edge.startswith("where ") else f"at {edge}"
    return Rule(
        code,
        operation,
        "unsafe",
        f"Its derivative is infinite {at}: one such element turns a whole gradient into NaN.",
        "Keep it where the operand is bounded away from there.",
        "",
        formula=_GUARDED,
        soft=soft or f"softfx.runtime.guards.{operation.name}",
        relax=_with_room(relax),
        propagate=through_real(_with_room(relax)),
        options=(),
        drop_in=True,
        reads_numbers=True,
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


def _whole(code: str, operation: Operation, edge: str, *, is_site: IsSite | None = None) -> Rule:
    """The record of an operation that has its guard under its own name."""
    function = getattr(guards, operation.name)
    return _rule(code, operation, _of_all(function), edge, is_site=is_site, keeps_value=True)


def _through(code: str, operation: Operation, edge: str, is_site: IsSite | None = None) -> Rule:
    """The record of an operation that is guarded by the gradients of its operands."""
    soft = "softfx.runtime.guards.passing_finite"
    return _rule(code, operation, _by_gradient, edge, soft=soft, is_site=is_site, keeps_value=True)


def _normalizing(code: str, operation: Operation, edge: str, is_site: IsSite) -> Rule:
    """The record of a normalization, a site without its epsilon."""
    function = getattr(guards, operation.name)
    return _rule(code, operation, _of_all(function), f"{edge}, without an epsilon", is_site=is_site)


_OVERFLOW = "where it overflows"
_SINGULAR = "matrices that are nearly singular"
_POWERS = "0, for exponents below 1, and where it overflows"

RULES = (
    _safe("SX901", ops.sqrt, softtorch.sqrt, "0"),
    _safe("SX902", ops.log, softtorch.log, "0"),
    _safe("SX903", ops.asin, softtorch.arcsin, "-1 and 1"),
    _safe("SX904", ops.acos, softtorch.arccos, "-1 and 1"),
    _arithmetic("SX905", DIV, guards.div, "a divisor of 0", _by_reals, keeps_value=True),
    _arithmetic("SX906", POW, guards.pow, _POWERS, _of_powers, keeps_value=True),
    _rule("SX907", ops.norm, _norm, "the zero vector, from the second derivative on", is_site=_of_vectors),
    _guard("SX908", ops.reciprocal, guards.reciprocal, "0", keeps_value=True),
    _guard("SX909", ops.rsqrt, guards.rsqrt, "0", keeps_value=True),
    _guard("SX910", ops.log2, guards.log2, "0"),
    _guard("SX911", ops.log10, guards.log10, "0"),
    _guard("SX912", ops.log1p, guards.log1p, "-1"),
    _guard("SX913", ops.acosh, guards.acosh, "1"),
    _guard("SX914", ops.atanh, guards.atanh, "-1 and 1"),
    _rule("SX915", ops.hypot, _binary(guards.hypot), "(0, 0)"),
    _whole("SX916", ops.exp, _OVERFLOW),
    _whole("SX917", ops.exp2, _OVERFLOW),
    _whole("SX918", ops.expm1, _OVERFLOW),
    _whole("SX919", ops.sinh, _OVERFLOW),
    _whole("SX920", ops.cosh, _OVERFLOW),
    _whole("SX921", ops.square, _OVERFLOW),
    _whole("SX922", ops.float_power, _POWERS, is_site=_of_powers),
    _whole("SX923", ops.addcdiv, "a divisor of 0"),
    _whole("SX925", ops.ldexp, _OVERFLOW),
    _whole("SX926", ops.xlogy, "a logarithm of 0"),
    _whole("SX927", ops.xlog1py, "a logarithm of 0"),
    _whole("SX928", ops.entr, "0"),
    _rule("SX929", ops.kl_div, _kl_div, "a target of 0", keeps_value=True),
    _whole("SX930", ops.logit, "0 and 1"),
    _whole("SX931", ops.logaddexp, "minus infinity, of both operands"),
    _whole("SX932", ops.logaddexp2, "minus infinity, of both operands"),
    _whole("SX933", ops.erfinv, "-1 and 1"),
    _whole("SX934", ops.ndtri, "0 and 1"),
    _whole("SX935", ops.log_ndtr, "minus infinity"),
    _whole("SX937", ops.lgamma, "0 and the negative integers"),
    _whole("SX938", ops.digamma, "0 and the negative integers"),
    _whole("SX939", ops.polygamma, "0 and the negative integers"),
    _whole("SX940", ops.mvlgamma, "the end of its domain"),
    _whole("SX941", ops.i0, _OVERFLOW),
    _whole("SX942", ops.i1, _OVERFLOW),
    _normalizing("SX943", ops.layer_norm, "constant rows", _without(4, "eps", 1e-5)),
    _normalizing("SX944", ops.group_norm, "constant groups", _without(4, "eps", 1e-5)),
    _normalizing("SX945", ops.instance_norm, "constant planes", _by_input),
    _normalizing("SX946", ops.rms_norm, "rows of 0", _without(3, "eps", 1e-5)),
    _through("SX947", ops.cosine_similarity, "the zero vector, without an epsilon", _without(3, "eps", 1e-8)),
    _through("SX948", ops.local_response_norm, "0, where nothing is added to it", _without(4, "k", 1.0)),
    _rule("SX949", ops.corrcoef, _unary(guards.corrcoef), "a variable that is constant"),
    _whole("SX950", ops.gelu, "numbers whose square overflows", is_site=_by_tanh),
    _through("SX981", ops.erfcx, _OVERFLOW),
    _through("SX982", ops.gammainc, "0, for orders below 1"),
    _through("SX983", ops.gammaincc, "0, for orders below 1"),
    _through("SX984", ops.zeta, "0 and the negative integers"),
    _through("SX985", ops.soft_margin_loss, _OVERFLOW),
    _through("SX986", ops.poisson_nll_loss, "a logarithm of 0"),
    _through("SX987", ops.slogdet, "singular matrices"),
    _through("SX988", ops.logdet, "singular matrices"),
    _through("SX989", ops.eigh, "eigenvalues that are equal"),
    _through("SX990", ops.svd, "singular values that are equal, or 0"),
    _through("SX992", ops.qr, "columns that depend on each other"),
    _through("SX993", ops.inverse, _SINGULAR),
    _through("SX994", ops.pinverse, _SINGULAR),
    _through("SX995", ops.solve, _SINGULAR),
    _through("SX996", ops.solve_triangular, "a diagonal of nearly 0"),
    _through("SX957", ops.cholesky, _SINGULAR),
    _through("SX958", ops.cholesky_inverse, _SINGULAR),
    _through("SX959", ops.cholesky_solve, _SINGULAR),
    _through("SX960", ops.lu, _SINGULAR),
    _through("SX963", ops.lu_solve, _SINGULAR),
    _through("SX966", ops.lstsq, "columns that nearly depend on each other"),
    _through("SX967", ops.matrix_power, _SINGULAR),
    _through("SX968", ops.matrix_exp, _OVERFLOW),
    _through("SX969", ops.householder_product, "reflections that are none"),
    _through("SX970", ops.ormqr, "reflections that are none"),
    _through("SX977", ops.eig, "eigenvalues that are equal"),
    _through("SX978", ops.atan2, "(0, 0), as near as squares are 0"),
    _through("SX979", ops.binary_cross_entropy, "probabilities of 0 and 1, by the target"),
)
