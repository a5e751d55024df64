"""Rounding, signs, casts to integers and back, bins, as by hand in softtorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
import softtorch
from tests.helpers import EXECUTOR
from tests.softfx.by_hand import SOFTNESS, Pair, agree

S: dict[str, Any] = {"softness": SOFTNESS}


def affine(x: Tensor) -> Tensor:
    """int8 with a scale: round, clamp, cast, and back."""
    scale = 0.3
    q = torch.clamp((x / scale).round(), -8, 7).to(torch.int8)
    return q.double() * scale


def affine_by_hand(x: Tensor) -> Tensor:
    scale = 0.3
    return torch.clamp(softtorch.round(x / scale, **S), -8, 7) * scale


def with_zero_point(x: Tensor) -> Tensor:
    scale, zero = 0.3, 7
    return ((x / scale + zero).round().clamp(0, 15).to(torch.uint8).double() - zero) * scale


def with_zero_point_by_hand(x: Tensor) -> Tensor:
    scale, zero = 0.3, 7
    return (softtorch.round(x / scale + zero, **S).clamp(0, 15) - zero) * scale


def roundings(x: Tensor) -> tuple[Tensor, ...]:
    return (
        x.floor(), x.ceil(), x.trunc(), x.sign(), x.round(decimals=1), x.long().double(),
        torch.div(x, 0.7, rounding_mode="floor"), (x * 4 + 0.5).floor().to(torch.int32).double() / 4,
        x.floor().to(torch.int64).double() * 2,
    )  # fmt: skip


def roundings_by_hand(x: Tensor) -> tuple[Tensor, ...]:
    return (
        softtorch.floor(x, **S), softtorch.ceil(x, **S), softtorch.trunc(x, **S), softtorch.sign(x, **S),
        softtorch.round(x * 10, **S) / 10, softtorch.trunc(x, **S), softtorch.floor(x / 0.7, **S),
        softtorch.floor(x * 4 + 0.5, **S) / 4, softtorch.floor(x, **S) * 2,
    )  # fmt: skip


def powers(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    k = x.round()
    return 2.0**k, y ** k.abs()


def powers_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A negative number has no power between two integers: there the two are averaged."""
    k = softtorch.round(x, **S)
    size = k.abs()
    below = size.detach().floor()
    part = size - below
    return 2.0**k, (1 - part) * y**below + part * y ** (below + 1)


def bins(x: Tensor) -> tuple[Tensor, ...]:
    edges = torch.tensor([-1.0, 0.0, 1.0], dtype=x.dtype)
    centres = torch.tensor([-1.5, -0.5, 0.5, 1.5], dtype=x.dtype)
    i = torch.bucketize(x, edges)
    return centres[i], torch.searchsorted(edges, x, right=True).double(), (i == 2).double()


def bins_by_hand(x: Tensor) -> tuple[Tensor, ...]:
    edges = torch.tensor([-1.0, 0.0, 1.0], dtype=x.dtype)
    centres = torch.tensor([-1.5, -0.5, 0.5, 1.5], dtype=x.dtype)
    p = softtorch.searchsorted(edges, x, **S)
    q = softtorch.searchsorted(edges, x, right=True, **S)
    return p @ centres, q @ torch.arange(4, dtype=x.dtype), p[..., 2]


def histogram(x: Tensor) -> Tensor:
    return torch.histc(x, 4, -2, 2)


def histogram_by_hand(x: Tensor) -> Tensor:
    return softtorch.histc(x, 4, -2, 2, **S)


def digits(x: Tensor) -> tuple[Tensor, ...]:
    n = (x * 10).round().long()
    return n.double() / 10, (n + 3).double(), (n * 2 - 1).double(), (-n).double()


def digits_by_hand(x: Tensor) -> tuple[Tensor, ...]:
    n = softtorch.round(x * 10, **S)
    return n / 10, n + 3, n * 2 - 1, -n


def codebook(x: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    index = ((x[:, None] - codes) ** 2).sum(-1).argmin(-1)
    return codes[index], ((codes[index].detach() - x) ** 2).mean()


def codebook_by_hand(x: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    p = softtorch.argmin(((x[:, None] - codes) ** 2).sum(-1), dim=-1, **S)
    return p @ codes, (((p @ codes).detach() - x) ** 2).mean()


PAIRS = {
    "a scale": Pair(affine, affine_by_hand, ((9,),)),
    "a zero point": Pair(with_zero_point, with_zero_point_by_hand, ((9,),)),
    "roundings": Pair(roundings, roundings_by_hand, ((9,),)),
    "powers": Pair(powers, powers_by_hand, ((9,), (9,)), linear=False),
    "bins": Pair(bins, bins_by_hand, ((9,),)),
    "histc": Pair(histogram, histogram_by_hand, ((9,),)),
    "digits": Pair(digits, digits_by_hand, ((9,),)),
    "a codebook": Pair(codebook, codebook_by_hand, ((6, 3), (4, 3)), linear=False),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_quantizer_does_softly_what_is_written_by_hand(name: str) -> None:
    agree(PAIRS[name])


@EXECUTOR
def test_bins_between_tensors_have_a_derivative(executor: Any) -> None:
    """torch takes tensors without axes for the ends of bins: those of the data, as a rule."""

    def counts(x: Tensor) -> Tensor:
        return (torch.histc(x, 4, x.min().detach(), x.max().detach()) * torch.tensor([1.0, 3.0, 2.0, 0.0])).sum()

    x = torch.linspace(-1.0, 2.0, 9).square().requires_grad_()
    soft = softfx.soften(counts, example_inputs=(x,), executor=executor)
    value = soft(x)
    assert torch.equal(value, counts(x))
    assert bool(torch.autograd.grad(value, x)[0].any())
