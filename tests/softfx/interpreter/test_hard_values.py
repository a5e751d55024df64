"""Hard values that are computed when something asks for them are those that the program would have had."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

import softfx


def chosen_in_half_precision(x: Tensor, weight: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        scores = F.linear(F.linear(x.round(), weight), weight)
    chosen = scores.argmax(-1, keepdim=True)
    return torch.zeros_like(scores).scatter_(-1, chosen, 1.0) @ weight.to(scores.dtype)


def test_a_hard_value_is_computed_in_the_autocast_state_of_the_programs_call() -> None:
    generator = torch.Generator().manual_seed(1)
    x, weight = torch.randn(3, 4, generator=generator), torch.randn(4, 4, generator=generator)
    soft = softfx.soften(chosen_in_half_precision, "smooth", softness=1e-4, example_inputs=(x, weight))
    result, wanted = soft(x, weight), chosen_in_half_precision(x, weight)
    assert result.dtype == wanted.dtype == torch.bfloat16
    assert torch.allclose(result, wanted, atol=1e-2)  # two roundings of bfloat16, whose step at 1 is 2 ** -7
