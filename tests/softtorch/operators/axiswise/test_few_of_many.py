"""Operators that ask for few of n entries hold few vectors of n, by every method that can, and never n x n."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softtorch
from softtorch.methods import METHODS
from tests.softtorch.cases import SOFT_MODES, draw
from tests.softtorch.methods.test_costs import Count

N = 2048
OPERATORS: dict[str, Callable[..., Tensor]] = {
    "topk": lambda x, **options: softtorch.topk(x, 3, -1, **options).values,
    "topk_st": lambda x, **options: softtorch.topk_st(x, 3, -1, **options).values,
    "kthvalue": lambda x, **options: softtorch.kthvalue(x, 3, -1, **options).values,
    "median": lambda x, **options: softtorch.median(x, -1, **options).values,
    "argmedian": lambda x, **options: softtorch.argmedian(x, -1, **options),
    "quantile": lambda x, **options: softtorch.quantile(x, 0.3, -1, **options),
    "max": lambda x, **options: softtorch.max(x, -1, **options).values,
    "min_st": lambda x, **options: softtorch.min_st(x, -1, **options).values,
}
METHOD_OF_EACH_KIND = [("neuralsort", mode) for mode in SOFT_MODES] + [("softsort", "c1"), ("lapsum", "smooth")]


def vectors(call: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """The largest memory of value and gradient, in vectors of float64 as long as x."""
    x = x.clone().requires_grad_()
    with Count() as counted:
        result = call(x)
        torch.autograd.grad(result.square().sum(), x)
    return counted.memory / (8 * x.numel())


def test_the_methods_tried_are_known() -> None:
    assert all(mode in METHODS[method].modes for method, mode in METHOD_OF_EACH_KIND)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(("method", "mode"), METHOD_OF_EACH_KIND)
def test_few_of_many_take_few_vectors(name: str, method: str, mode: str) -> None:
    infinite = draw(N, dtype=torch.float32)
    infinite[5] = -torch.inf
    for x in (draw(N, dtype=torch.float32), infinite, draw(2, N // 2) + 1e8):
        for softness in (0.1, torch.tensor(0.1)):
            taken = vectors(lambda x, s=softness: OPERATORS[name](x, softness=s, method=method, mode=mode), x)
            assert taken < 150, taken  # all pairs would be N / 2 vectors or more, thrice
