"""Sums of soft distances along a sorted line in linear time: A_i = sum_j K(y_i - y_j) with K(u) = u tanh(u / 2).

K(u) is |u| less f(|u|), f(u) = 2 u / (1 + e^u), and f is a short sum of exponentials with complex rates, each of which
is a decayed sum (scan.py): its phase goes into the weights. To change the precision: other TERMS.
"""

from typing import Any

import torch
from torch import Tensor

from softtorch.kernels.numeric.constants import listed
from softtorch.kernels.numeric.tracing import plain_operators_needed
from softtorch.kernels.sorted_line.scan import Decay
from softtorch.kernels.sorted_line.sweep import is_narrow
from softtorch.torch_private import Function

# f(u) = sum e^(-rate u) (c cos(turn u) + d sin(turn u)) with (rate, turn, c, d): rates and turns by the matrix pencil
# method from 1601 values of f on [0, 44], then c and d by least squares. Off by less than 1e-12 everywhere.
TERMS = (
    (5.1047919735661855, 4.2158930627753115, -5.121286883909429e-05, 2.1747151680880098e-06),
    (4.3311349241353305, 2.510409723950912, 0.006301428721360801, 0.0038630653643895144),
    (0.9999995611973679, 0.00024371267251818018, 6.70064818946237e-05, 8206.330895656725),
    (3.601082953571987, 1.3480797244937521, -0.07166478080285012, -0.20767807883348513),
    (1.9541525475451202, 0.0, -18.844692241520523, 0.0),
    (2.069161682403996, 0.0, 19.438252358841208, 0.0),
    (2.8915169514194097, 0.6024631448060841, -0.528212558852459, 1.5062296559882693),
)


# Numbers of one vector up to which several terms are summed at once: small ones cost Python more than passes.
TOGETHER = 1 << 15


def distance_sums(y: Tensor, v: Tensor) -> Tensor:
    """sum_j K(y_i - y_j) v_j, (..., n), for constant weights v, (..., n).

    Args:
        y: places (..., n) in rising order and in float64 where there is such.
        v: of the dtype of y.
    """
    if plain_operators_needed():
        return _sums(y, v)[0]
    result: Tensor = _DistanceSums.apply(y, v)[0]
    return result


def _sums(y: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """sum_j K(y_i - y_j) v_j and sum_j K'(y_i - y_j) v_j, (..., n) each."""
    y = y - y[..., y.shape[-1] // 2 :][..., :1].detach()
    upto, moments = v.cumsum(dim=-1), (y * v).cumsum(dim=-1)
    rest, moments_rest = upto[..., -1:] - upto, moments[..., -1:] - moments
    sums, slopes = y * (upto - rest) - (moments - moments_rest), upto - v - rest
    terms = torch.stack([listed(column, y.dtype, y.device) for column in zip(*TERMS, strict=True)], dim=-1)
    for some in torch.split(terms, max(1, TOGETHER // max(1, y.numel()))):
        near, near_slopes = _near(y, v, *some.T.reshape(4, -1, *[1] * y.dim()).unbind(0))
        sums, slopes = sums - near, slopes - near_slopes
    return sums, slopes


def _near(y: Tensor, v: Tensor, rate: Tensor, turn: Tensor, real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of some terms of f, and of their derivatives, (..., n) each; the terms' numbers are (k, 1, ..., 1)."""
    cosine, sine = torch.cos(turn * y), torch.sin(turn * y)
    waves = torch.stack([cosine, sine]) * v  # (2, k, ..., n)
    before, behind = _decayed(y * rate, waves, is_narrow(y * rate.amax()))
    # Those before turn the other way than those behind; f' has the coefficients -c rate.
    even, odd = (before + behind).unbind(0), (before - behind).unbind(0)
    along, across = real * rate - imaginary * turn, real * turn + imaginary * rate
    sums = cosine * (real * even[0] - imaginary * odd[1]) + sine * (real * even[1] + imaginary * odd[0])
    slopes = cosine * (across * even[1] - along * odd[0]) - sine * (across * even[0] + along * odd[1])
    return sums.sum(dim=0), slopes.sum(dim=0)


def _decayed(y: Tensor, v: Tensor, narrow: bool) -> tuple[Tensor, Tensor]:
    """The decayed sums of v, (..., n), over places up to each y, (..., n), and from it onwards; its own is in both."""
    if not narrow:
        decay = Decay(y)
        return decay.before(v), decay.behind(v)
    # One cumulative sum each, with the places themselves as exponents: a sum of gaps would gather rounding.
    grow, fall = torch.exp(y - y[..., :1]), torch.exp(y[..., :1] - y)
    return (v * grow).cumsum(dim=-1) * fall, (v * fall).flip(-1).cumsum(dim=-1).flip(-1) * grow


class _DistanceSums(Function):
    """`distance_sums`, and sum_j K'(y_i - y_j) v_j, which backward needs beside the places."""

    @staticmethod
    def forward(y: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        return _sums(y, v)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None]:
        y, v, slopes = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative may be asked for
            slopes = _sums(y, v)[1]
        return grad * slopes + v * _sums(y, grad)[1], None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, int | None], y: Tensor, v: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        rows = (
            x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip((y, v), in_dims, strict=True)
        )
        result: tuple[Tensor, Tensor] = _DistanceSums.apply(*rows)
        return result, (0, 0)
