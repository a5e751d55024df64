"""Orders and extremes along an axis that a single number does not have: torch takes it as 0 or -1."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR, identical, leaves

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
SINGLE: dict[str, Callable[[Tensor], Tensor]] = {
    "sign": lambda x: x.mean().sign(),
    "mask": lambda x: (x.mean() > 0).float(),
    "count": lambda x: (x > 0).sum(),
    "number": lambda x: x.sum().round(),
    "index": lambda x: x[0].argmax(),
    "votes": lambda x: (x.argmax(-1) == 1).sum(),
}
ORDERS: dict[str, Callable[[Tensor, int], object]] = {
    "max": lambda v, dim: torch.max(v, dim),
    "min": lambda v, dim: v.min(dim, keepdim=True),
    "amax": lambda v, dim: v.amax(dim, keepdim=True),
    "amin": lambda v, dim: v.amin(dim),
    "argmax": lambda v, dim: v.argmax(dim),
    "argmin": lambda v, dim: v.argmin(dim, keepdim=True),
    "the largest, looked up": lambda v, dim: v.gather(dim, v.argmax(dim, keepdim=True)),
    "the place among all": lambda v, dim: v.argmax(),
    "sort": lambda v, dim: v.sort(dim),
    "topk": lambda v, dim: v.topk(1, dim),
    "median": lambda v, dim: v.median(dim),
    "kthvalue": lambda v, dim: v.kthvalue(1, dim),
    "cummax": lambda v, dim: v.cummax(dim),
}


@EXECUTOR
@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("single", SINGLE)
def test_a_single_number_is_ordered_as_torch_does(
    single: str, order: str, policy: str, executor: softfx.api.Executor
) -> None:
    for dim in (0, -1):

        def program(x: Tensor, dim: int = dim) -> object:
            return ORDERS[order](SINGLE[single](x), dim)

        soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor, allow_unused=True)
        for found, wanted in zip(leaves(soft(X)), leaves(program(X)), strict=True):
            assert found.shape == wanted.shape
            assert policy == "smooth" or identical(found, wanted)


def test_what_is_chosen_of_a_single_count_stays_an_integer() -> None:
    x = X.clone().requires_grad_()
    policy = {"preset": "smooth", "default": {"softness": 1e-6}}
    soft = softfx.soften(lambda x: ((x > 0).sum().amax(0) > 5).float(), policy, example_inputs=(x,))
    assert soft(x).item() == float((X > 0).sum() > 5)
