"""torch's functions with infinite derivatives: the same values bit for bit, and derivatives that are always finite.

A guard is made of a function and the formulas of its derivatives: an operand is detached, element by element, where its
derivative is infinite or NaN, so that the derivative there is 0. Then no infinity meets the 0 that comes back from the
other branch of a `where`. To add a function, give its derivative by each operand, as far as that can be infinite.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import softtorch
from softfx.runtime.elements import is_discrete
from softtorch.straight_through import finite as seen_finite
from softtorch.straight_through import with_finite_gradient, with_finite_value

__all__ = [
    "DERIVATIVES", "acosh", "addcdiv", "atanh", "corrcoef", "cosh", "digamma", "div", "entr", "erfinv", "exp", "exp2",
    "expm1", "finite", "float_power", "gelu", "group_norm", "hypot", "i0", "i1", "instance_norm", "kl_div",
    "layer_norm", "ldexp", "lgamma", "log1p", "log2", "log10", "log_ndtr", "logaddexp", "logaddexp2", "logit", "mul",
    "mvlgamma", "ndtri", "norm", "passing_finite", "polygamma", "pow", "reciprocal", "rms_norm", "rsqrt", "sinh",
    "square", "xlog1py", "xlogy",
]  # fmt: skip

# The derivative by one operand, of the operands without derivatives; None where it is never infinite.
Derivative = Callable[..., Any] | None
# Those of each function of torch's that is guarded by them.
DERIVATIVES: dict[Callable[..., Any], Sequence[Derivative]] = {
    torch.sqrt: (torch.rsqrt,),
    torch.log: (lambda x: x.log().mul(0) + x.reciprocal(),),
}


# -- how operands are held ---------------------------------------------------------------------------------------------


def _held(x: Any, irregular: Tensor) -> Any:
    """x, detached where it is irregular: (...) both, broadcast."""
    return torch.where(irregular, x.detach(), x) if isinstance(x, Tensor) and not is_discrete(x) else x


def finite(x: Tensor) -> Tensor:
    """x, (...), with 0 in the place of infinite and NaN elements, and the derivative of x.

    >>> finite(torch.tensor([1.0, -torch.inf]))
    tensor([1., 0.])
    """
    return with_finite_value(x)


def _regular(derivatives: Sequence[Derivative], operands: Sequence[Any]) -> list[Any]:
    """The operands, each detached where its derivative is not finite; of the joint shape, where that is so."""
    fixed = [x.detach() if isinstance(x, Tensor) else x for x in operands]
    held = list(operands)
    for place, derivative in enumerate(derivatives):
        if derivative is None or not isinstance(operands[place], Tensor):
            continue
        slope = torch.as_tensor(derivative(*fixed), device=operands[place].device)
        if seen_finite(slope):
            continue
        irregular = ~torch.isfinite(slope)
        held[place] = _held(_spread(operands[place], operands, irregular), irregular)
    return held


def _spread(x: Tensor, operands: Sequence[Any], irregular: Tensor) -> Tensor:
    """x in the joint shape; one without axes in the type of the others too, which it does not decide any more."""
    if x.dim() == 0 and irregular.dim() > 0:
        x = x.to(
            functools.reduce(torch.promote_types, (o.dtype for o in operands if isinstance(o, Tensor) and o.dim()))
        )
    return x.expand(_joint(x, irregular))


def _joint(x: Tensor, y: Tensor) -> torch.Size:
    shape: torch.Size = torch.broadcast_shapes(x.shape, y.shape)  # type: ignore[no-untyped-call]
    return shape


def _guarded(function: Callable[..., Any], *derivatives: Derivative) -> Callable[..., Tensor]:
    """`function` of operands that broadcast, guarded; its further arguments follow by name."""

    def guarded(*operands: Any, **options: Any) -> Tensor:
        result: Tensor = function(*_regular(derivatives, operands), **options)
        return result

    guarded.__name__ = guarded.__qualname__ = function.__name__.removeprefix("special_")
    DERIVATIVES[function] = derivatives
    guarded.__doc__ = f"`{guarded.__name__}` with finite derivatives.  # (...) each, broadcast -> (...)"
    return guarded


# -- one operand -------------------------------------------------------------------------------------------------------

exp = _guarded(torch.exp, torch.exp)
exp2 = _guarded(torch.exp2, torch.exp2)
expm1 = _guarded(torch.expm1, torch.exp)
sinh = _guarded(torch.sinh, torch.cosh)
cosh = _guarded(torch.cosh, torch.sinh)
square = _guarded(torch.square, lambda x: 2 * x)
reciprocal = _guarded(torch.reciprocal, lambda x: x.reciprocal().square())
rsqrt = _guarded(torch.rsqrt, lambda x: x.rsqrt() / x)
log2 = _guarded(torch.log2, lambda x: x.log2().mul(0) + x.reciprocal())
log10 = _guarded(torch.log10, lambda x: x.log10().mul(0) + x.reciprocal())
log1p = _guarded(torch.log1p, lambda x: x.log1p().mul(0) + (x + 1).reciprocal())
acosh = _guarded(torch.acosh, lambda x: (x.square() - 1).rsqrt() * (x - 1).rsqrt())
atanh = _guarded(torch.atanh, torch.atanh)
logit = _guarded(torch.logit, lambda x, eps=None: x.logit().mul(0) + (x - x.square()).reciprocal())
entr = _guarded(torch.special.entr, torch.log)
erfinv = _guarded(torch.erfinv, lambda x: x.erfinv().square().exp())
ndtri = _guarded(torch.special.ndtri, lambda x: torch.special.ndtri(x).square().exp())
log_ndtr = _guarded(torch.special.log_ndtr, lambda x: (-torch.special.log_ndtr(x) - x.square() / 2).exp())
lgamma = _guarded(torch.lgamma, torch.digamma)
digamma = _guarded(torch.digamma, lambda x: torch.polygamma(1, x) + x.digamma().mul(0))
polygamma = _guarded(torch.polygamma, None, lambda n, x: torch.polygamma(n + 1, x))
mvlgamma = _guarded(torch.mvlgamma, lambda x, p: (x - (p - 1) / 2).digamma())
gelu = _guarded(F.gelu, lambda x: x.to(torch.promote_types(x.dtype, torch.float32)).square())
i0 = _guarded(torch.i0, torch.special.i1)
i1 = _guarded(torch.special.i1, torch.i0)


# -- several operands --------------------------------------------------------------------------------------------------


def _ratio_to(x: Any, y: Any) -> Any:
    """The derivative of x / y by y, but for its sign."""
    return x / y / y


def _share(x: Tensor, y: Tensor) -> Tensor:
    """The share of x in a sum of exponentials, the derivative of their sum's logarithm by x."""
    return (1 + (y - x).exp()).reciprocal()


def _base_slope(x: Any, exponent: Any) -> Tensor:
    """The derivative of a power by its base."""
    if not isinstance(exponent, Tensor) and exponent == 2:
        return torch.as_tensor(2 * x)
    slope = torch.as_tensor(exponent * x ** (exponent - 1))
    return torch.where(torch.as_tensor(exponent) == 0, 0.0, slope) if isinstance(exponent, Tensor) else slope


def _exponent_slope(x: Any, exponent: Tensor) -> Tensor:
    """The derivative of a power by its exponent, which torch has as 0 at a base of 0."""
    if not exponent.is_floating_point():
        return torch.zeros_like(exponent)
    base = torch.as_tensor(x, dtype=exponent.dtype, device=exponent.device)
    return torch.where((base == 0) & (exponent >= 0), 0.0, torch.pow(base, exponent) * base.log())


DERIVATIVES[torch.pow] = _base_slope, _exponent_slope
DERIVATIVES[torch.div] = (lambda x, y: 1 / y), _ratio_to


def _of_power(x: Any, exponent: Any) -> tuple[Any, Any]:
    held = _regular(DERIVATIVES[torch.pow], (x, exponent))
    return held[0], held[1]


def div(x: Any, y: Any) -> Tensor:
    """x / y.  # (...) each, broadcast

    >>> x, y = torch.ones(2, requires_grad=True), torch.tensor([0.0, 4.0], requires_grad=True)
    >>> torch.autograd.grad(div(x, y)[1], (x, y))
    (tensor([0.0000, 0.2500]), tensor([ 0.0000, -0.0625]))
    """
    result: Tensor = torch.div(x, y) if isinstance(x, Tensor) else x / y
    if not isinstance(y, Tensor) or _divides_regularly(result, y):
        return result
    x, y = _regular(DERIVATIVES[torch.div], (x, y))
    return torch.div(x, y) if isinstance(x, Tensor) else x / y


def _divides_regularly(ratio: Tensor, y: Tensor) -> bool:
    """True if the derivatives 1 / y and x / y / y of a ratio, (...), are seen to be finite: their sum is."""
    y = y.detach()
    return seen_finite(torch.addcdiv(y.reciprocal(), ratio.detach(), y))


def mul(x: Tensor | float, y: Tensor | float) -> Tensor:
    """x * y, whose derivatives, y and x, count as 0 where they are infinite or NaN.  # (...) each, broadcast

    >>> weight, score = torch.zeros(1, requires_grad=True), torch.tensor([torch.inf])
    >>> torch.autograd.grad(mul(weight, score).sum(), weight)[0]
    tensor([0.])
    """
    product = torch.mul(x, y)
    if seen_finite(product):  # then both factors are finite
        return product
    return softtorch.straight_through(product, with_finite_value(torch.mul(_finite_factor(x), _finite_factor(y))))


def _finite_factor(x: Tensor | float) -> Tensor | float:
    """A factor, (...), with 0 in the place of what no derivative can be multiplied by."""
    if not isinstance(x, Tensor):
        return x if math.isfinite(x) else 0.0
    return x if is_discrete(x) else with_finite_value(x)


def pow(x: Tensor | float, exponent: Tensor | float) -> Tensor:
    """x ** exponent.  # (...) each, broadcast

    >>> x = torch.tensor([0.0, 4.0], requires_grad=True)
    >>> torch.autograd.grad(pow(x, 0.5).sum(), x)[0]
    tensor([0.0000, 0.2500])
    """
    return torch.pow(*_of_power(x, exponent))


def float_power(x: Tensor | float, exponent: Tensor | float) -> Tensor:
    """x ** exponent in double precision.  # (...) each, broadcast"""
    wide = [v.double() if isinstance(v, Tensor) else v for v in (x, exponent)]
    return torch.float_power(*_of_power(*wide))


xlogy = _guarded(torch.xlogy, lambda x, y: torch.xlogy(x != 0, y), lambda x, y: torch.xlogy(x, y).mul(0) + x / y)
xlog1py = _guarded(
    torch.special.xlog1py,
    lambda x, y: torch.special.xlog1py(x != 0, y),
    lambda x, y: torch.special.xlog1py(x, y).mul(0) + x / (1 + y),
)
logaddexp = _guarded(torch.logaddexp, _share, lambda x, y: _share(y, x))
logaddexp2 = _guarded(torch.logaddexp2, _share, lambda x, y: _share(y, x))
ldexp = _guarded(torch.ldexp, lambda x, y: 2.0**y, torch.ldexp)
addcdiv = _guarded(
    torch.addcdiv,
    lambda x, y, z: torch.where((x + y / z).isnan(), torch.nan, 1.0),
    lambda x, y, z: z.reciprocal(),
    lambda x, y, z: y / (z * z),
)
hypot = _guarded(torch.hypot, lambda x, y: x / torch.hypot(x, y), lambda x, y: y / torch.hypot(x, y))


def kl_div(input: Tensor, target: Tensor, *arguments: Any, **options: Any) -> Tensor:
    """torch.nn.functional.kl_div and torch.kl_div, of targets that may be 0.  # (...) each -> (...), or () reduced"""
    if options.get("log_target"):
        input, target = _regular((lambda x, t: t.exp(),) * 2, (input, target))
    else:
        by_input, by_target = (lambda x, t: torch.xlogy(t, t).mul(0)), (lambda x, t: t.log() + t.reciprocal())
        input, target = _regular((by_input, by_target), (input, target))
    by_number = isinstance(options.get("reduction", arguments[0] if arguments else None), int)
    return (torch.kl_div if by_number else F.kl_div)(input, target, *arguments, **options)


def passing_finite(x: Tensor) -> Tensor:
    """x, (...), to which only finite gradients go back; in recorded graphs x as it is."""
    held = with_finite_gradient(x)
    return x.view_as(x) if held is x else held


# -- along axes --------------------------------------------------------------------------------------------------------


_product = _guarded(torch.mul, lambda x, y: y, lambda x, y: x)


def _scaled(normalized: Tensor, weight: Tensor | None, bias: Tensor | None = None) -> Tensor:
    """Normalized rows, some of them NaN, with the weights and biases of a layer.  # (...) each, broadcast"""
    scaled = normalized if weight is None else _product(normalized, weight)
    return scaled if bias is None else scaled + bias


def _of_channels(parameter: Tensor | None, x: Tensor) -> Tensor | None:
    """A parameter of each channel, broadcastable to x.  # (c), (b, c, ...) -> (c, ...)"""
    return None if parameter is None else parameter.view(-1, *(1,) * (x.dim() - 2))


def layer_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 0.0, cudnn_enable: bool = True,
) -> Tensor:  # fmt: skip
    """torch.nn.functional.layer_norm without an epsilon, whose rows may be constant.  # (..., n) -> (..., n)"""
    return _scaled(F.layer_norm(with_finite_gradient(x), normalized_shape, eps=eps), weight, bias)


def rms_norm(x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float = 0.0) -> Tensor:
    """torch.nn.functional.rms_norm without an epsilon, whose rows may be 0.  # (..., n) -> (..., n)"""
    return _scaled(F.rms_norm(with_finite_gradient(x), normalized_shape, eps=eps), weight)


def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 0.0,
    cudnn_enabled: bool = True,
) -> Tensor:  # fmt: skip
    """torch.nn.functional.group_norm without an epsilon, whose groups may be constant.  # (b, c, ...) -> (b, c, ...)"""
    normalized = F.group_norm(with_finite_gradient(x), num_groups, eps=eps)
    return _scaled(normalized, _of_channels(weight, x), _of_channels(bias, x))


def instance_norm(
    x: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None, weight: Tensor | None = None,
    bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 0.0,
    cudnn_enabled: bool = True,
) -> Tensor:  # fmt: skip
    """torch.nn.functional.instance_norm without an epsilon, by the input's own statistics.

    # (b, c, ...) -> (b, c, ...)
    """
    normalized = F.instance_norm(with_finite_gradient(x), eps=eps)
    return _scaled(normalized, _of_channels(weight, x), _of_channels(bias, x))


def corrcoef(x: Tensor) -> Tensor:
    """torch.corrcoef of variables that may be constant.  # (n, observations) -> (n, n), or () of one variable

    >>> x = torch.tensor([[1.0, 2.0, 4.0], [3.0, 1.0, 0.0], [5.0, 5.0, 5.0]], requires_grad=True)
    >>> torch.autograd.grad(corrcoef(x)[0, 1], x)[0].isfinite().all()
    tensor(True)
    """
    centred = x - x.mean(-1, keepdim=True)
    if x.dim() < 2:
        return div(centred.square().sum(), centred.square().sum())
    covariance = centred @ centred.mT
    deviation = softtorch.sqrt(covariance.diagonal())
    return div(div(covariance, deviation.unsqueeze(-1)), deviation).clamp(-1, 1)


def norm(x: Tensor, ord: Any = 2, dim: Any = None, **options: Any) -> Tensor:
    """The norm of the vectors along `dim`, with derivatives of 0 of any order at the zero vector.  # (..., n, ...)

    >>> x = torch.zeros(2, requires_grad=True)
    >>> torch.autograd.grad(norm(x), x)[0]
    tensor([0., 0.])
    """
    axes = tuple(range(x.dim())) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    zero = (x == 0).all(axes, keepdim=True) if axes else x == 0
    held = x if ord == 2 else passing_finite(x)  # of other orders the powers in it overflow, or are 0, before it does
    result: Tensor = torch.linalg.vector_norm(_held(held, zero.expand(x.shape)), ord, dim, **options)
    return result
