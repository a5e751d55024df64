"""What does not depend on the mapped dim of a vmap is computed once, by every method and for all numbers around it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import vmap

import softtorch
from softtorch.methods import METHODS

FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "sort": lambda x, method: softtorch.sort(x, method=method).values,
    "rank": lambda x, method: softtorch.rank(x, method=method),
    "max": lambda x, method: softtorch.max(x, dim=-1, method=method).values,
    "topk": lambda x, method: softtorch.topk(x, 2, method=method).values,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_constants_inside_vmap_are_as_outside(name: str, method: str) -> None:
    constant = torch.tensor([[0.4, -1.2, 0.9, 0.1], [1.5, 0.3, -0.2, -0.7]], requires_grad=True)
    function = FUNCTIONS[name]
    try:
        expected = function(constant, method)
    except ValueError:
        pytest.skip("the method has no such form")
    mapped = vmap(lambda scale: scale * function(constant, method))(torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(mapped, torch.stack([expected, 2 * expected]))
    if not expected.requires_grad:
        return
    weights = torch.arange(expected.numel(), dtype=expected.dtype).view_as(expected)
    slopes = [torch.autograd.grad((weights * value).sum(), constant)[0] for value in (mapped[0], expected)]
    torch.testing.assert_close(*slopes)
