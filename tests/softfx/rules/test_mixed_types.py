"""Programs that cast masks and rounded numbers to another floating type than that of what they were made of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from tests.helpers import gradient

X = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
W = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
K = torch.ones(1, 1, 3, 3)


def mask(x: Tensor) -> Tensor:
    return (x > 0).float()


def put(x: Tensor) -> Tensor:
    buffer = torch.zeros(2, 5)
    buffer[0] = mask(x[0])
    return buffer


MIXED: dict[str, Callable[[Tensor], Tensor]] = {
    "convolution": lambda x: F.conv2d(mask(x)[None, None], K, padding=1),
    "compared convolution": lambda x: (F.conv2d(mask(x)[None, None], K, padding=1) == 3).float(),
    "product": lambda x: mask(x) @ W,
    "compared product": lambda x: (mask(x) @ W > 0.5).float(),
    "linear": lambda x: (F.linear(mask(x), W.T) > 0.1).float(),
    "einsum": lambda x: (torch.einsum("ij,jk->k", mask(x), W) > 0).float(),
    "batched": lambda x: (torch.baddbmm(torch.zeros(1, 5, 3), mask(x)[None], W[None]) > 0).float(),
    "distances": lambda x: (torch.cdist(mask(x), W.T) > 1).float(),
    "joined": lambda x: torch.cat([mask(x), W], 1),
    "interpolated": lambda x: torch.lerp(mask(x), torch.ones(5, 5), 0.5),
    "added at places": lambda x: torch.zeros(2, 5).index_add(0, torch.tensor([0, 1, 1, 0, 1]), mask(x)),
    "put": lambda x: torch.zeros(5, 5).index_put((torch.arange(5),), mask(x)),
    "assigned": put,
    "copied": lambda x: torch.zeros(5, 5).copy_(x > 0),
    "halves": lambda x: ((x > 0).half() @ W.half() > 0).float(),
    "rounded": lambda x: (x.round().float() @ W > 0).float(),
    "places": lambda x: F.one_hot(x.argmax(-1), 5).float() @ W,
    "loss": lambda x: F.binary_cross_entropy(mask(x).clamp(0.1, 0.9), torch.full((5, 5), 0.3)),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("policy", ["gradients", "straight-through", "lifted"])
@pytest.mark.parametrize("name", MIXED)
def test_values_are_the_programs_and_gradients_come_back(name: str, policy: str, dtype: torch.dtype) -> None:
    program, x = MIXED[name], X.to(dtype)
    soft = softfx.soften(program, policy, example_inputs=(x,))
    for _ in range(3):
        assert torch.equal(soft(x), program(x))
    found = gradient(soft, x)
    assert found.dtype is dtype and found.isfinite().all() and found.any()


@pytest.mark.parametrize("name", MIXED)
def test_soft_values_tend_to_the_program(name: str) -> None:
    soft = softfx.soften(MIXED[name], {"preset": "smooth", "default": {"softness": 1e-5}}, example_inputs=(X,))
    torch.testing.assert_close(soft(X), MIXED[name](X), rtol=0, atol=1e-3)
