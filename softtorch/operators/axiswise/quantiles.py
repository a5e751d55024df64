"""argquantile, quantile and the percentile forms. The rules of interpolation are in interpolation.py."""

from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.numeric.precision import log_mixture, mixture
from softtorch.methods import Method
from softtorch.modes import Mode
from softtorch.operators.axiswise.call import Call, Options, open_call
from softtorch.operators.axiswise.interpolation import Between, between, check_interpolation, check_q
from softtorch.operators.axiswise.results import IndexForm, ValuesAndIndices, index_form


def argquantile(
    x: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    interpolation: str = "linear",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> Tensor:
    """Soft index of a quantile: the weight of each entry in torch.quantile.

    The choice of the entries is relaxed; the weights tend to those of the two neighbours of q as softness -> 0.

    Args:
        q: in [0, 1], a number or a tensor, 0-dim or (Q,).

    Returns:
        A SoftIndex, (..., [n]), or (Q, ..., [n]) for a vector q.

    Raises:
        ShapeError: there is nothing along dim, or q is not a number or vector.

    Source: NeuralSort, arXiv 1903.08850, equation 5, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.argquantile(torch.tensor([2.0, 0.0, 1.0]), 0.25, mode="c0")
        tensor([0.0000, 0.5000, 0.5000])
    """
    check_q("argquantile", q)
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("argquantile", return_log_probs, log_prob_eps)
    return _index("argquantile", x, q, dim, keepdim, options, interpolation, form)


def argpercentile(
    x: Tensor,
    p: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    interpolation: str = "linear",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> Tensor:
    """`argquantile` with the quantile given in percent.

    The choice of the entries is relaxed; the weights tend to those of the two neighbours of p as softness -> 0.

    Args:
        p: in [0, 100], a number or a tensor, 0-dim or (P,).

    Returns:
        A SoftIndex, (..., [n]), or (P, ..., [n]) for a vector p.

    Source: NeuralSort, arXiv 1903.08850, equation 5, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.argpercentile(torch.tensor([2.0, 0.0, 1.0]), 25, mode="c0")
        tensor([0.0000, 0.5000, 0.5000])
    """
    check_q("argpercentile", p, "p", 100.0)
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("argpercentile", return_log_probs, log_prob_eps)
    return _index("argpercentile", x, p / 100, dim, keepdim, options, interpolation, form)


def quantile(
    x: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    interpolation: str = "linear",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_argquantile: bool = False,
    gated_grad: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> Tensor | ValuesAndIndices:
    """Soft torch.quantile along a dim.

    The choice of the entries is relaxed; the value tends to torch's as softness -> 0. A tensor q gets the derivative of
    the interpolation.

    Args:
        q: in [0, 1], a number or a tensor, 0-dim or (Q,).
        return_argquantile: return a pair, with the SoftIndex of `argquantile`, None from methods that pair none.

    Returns:
        Values (...), or (Q, ...) for a vector q; with return_argquantile a pair.

    Source: NeuralSort, arXiv 1903.08850, equation 5, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.quantile(torch.tensor([2.0, 0.0, 1.0]), 0.25, softness=0.05)
        tensor(0.5022)
    """
    check_q("quantile", q)
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("quantile", return_log_probs, log_prob_eps, return_argquantile)
    return _value("quantile", x, q, dim, keepdim, options, interpolation, gated_grad, form)


def percentile(
    x: Tensor,
    p: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "neuralsort",
    interpolation: str = "linear",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    return_argpercentile: bool = False,
    gated_grad: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> Tensor | ValuesAndIndices:
    """`quantile` with the quantile given in percent.

    The choice of the entries is relaxed; the value tends to torch.quantile at p / 100 as softness -> 0.

    Args:
        p: in [0, 100], a number or a tensor, 0-dim or (P,).
        return_argpercentile: return a pair, with the SoftIndex of `argpercentile`.

    Returns:
        Values (...), or (P, ...) for a vector p; with return_argpercentile a pair.

    Source: NeuralSort, arXiv 1903.08850, equation 5, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.percentile(torch.tensor([2.0, 0.0, 1.0]), 50, softness=0.05)
        tensor(1.)
    """
    check_q("percentile", p, "p", 100.0)
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("percentile", return_log_probs, log_prob_eps, return_argpercentile)
    return _value("percentile", x, p / 100, dim, keepdim, options, interpolation, gated_grad, form)


def _opened(
    where: str,
    x: Tensor,
    q: Tensor | float,
    dim: int | None,
    needs: str,
    options: Options,
    interpolation: str,
) -> tuple[Call, Between]:
    """The call and the places of quantiles q of x, (..., n, ...)."""
    check_interpolation(where, interpolation)
    # torch.quantile has no integer form: integers are computed in the default dtype, in mode="hard" too.
    floating = x if x.dtype.is_floating_point or x.dtype.is_complex else x.to(torch.get_default_dtype())
    call = open_call(where, floating, dim, needs, options)
    dedupe = call.keys.mode.select(False, True)
    return call, between(q, call.keys.n, interpolation, call.keys.raw, dedupe)


def _index(
    where: str,
    x: Tensor,
    q: Tensor | float,
    dim: int | None,
    keepdim: bool,
    options: Options,
    interpolation: str,
    form: IndexForm,
) -> Tensor:
    call, spot = _opened(where, x, q, dim, "rows", options, interpolation)
    return call.reduced_rows(_mixed_rows(call, spot, form), keepdim)


def _value(
    where: str,
    x: Tensor,
    q: Tensor | float,
    dim: int | None,
    keepdim: bool,
    options: Options,
    interpolation: str,
    gated_grad: bool,
    form: IndexForm,
) -> Tensor | ValuesAndIndices:
    call, spot = _opened(where, x, q, dim, "values", options, interpolation)
    values = call.method.values(call.keys, spot.positions, gated_grad)
    if spot.weight is not None:
        low, high = values.chunk(2, dim=-1)
        # torch.lerp makes infinities NaN, as torch.quantile does; the relaxation keeps them.
        mix = call.keys.mode.select(_lerp, _lerp if call.keys.moderate else mixture)
        values = mix(low, high, spot.weight.to(values.dtype))
    value = call.reduced(_leading(values.unsqueeze(-1), spot, -2), keepdim)
    if not form.wanted:
        return value
    paired = call.method.pairs_index
    return ValuesAndIndices(value, call.reduced_rows(_mixed_rows(call, spot, form), keepdim) if paired else None)


def _mixed_rows(call: Call, spot: Between, form: IndexForm) -> Tensor:
    """The weights of the entries, (..., 1, [n]), or (Q, ..., 1, [n]) for a vector q."""
    if form.log:
        rows, mix = call.method.log_rows(call.keys, spot.positions), log_mixture
    else:
        rows, mix = call.method.rows(call.keys, spot.positions), mixture
    if spot.weight is not None:
        low, high = rows.chunk(2, dim=-2)
        rows = mix(low, high, spot.weight.to(rows.dtype).unsqueeze(-1))
    if form.log:
        rows = form.floored(rows)
    return _leading(rows.unsqueeze(-2), spot, -3)


def _lerp(low: Tensor, high: Tensor, weight: Tensor) -> Tensor:
    """torch's own mixture, any shapes that broadcast."""
    return torch.lerp(low, high, weight)


def _leading(result: Tensor, spot: Between, axis: int) -> Tensor:
    """The axis of the Q quantiles taken to the front, or out where q is a single one."""
    return result.movedim(axis, 0) if spot.leading else result.squeeze(axis)
