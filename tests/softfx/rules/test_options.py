"""Options of the soft operators that a policy reaches: networks, gates, Gaussian smoothing, staircases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
import softtorch
from softtorch.methods.sorting_network import SortingNetwork
from tests.helpers import EXECUTOR

X = torch.linspace(-2.0, 2.5, 7)
NETWORK = {"method": "sorting_network", "swap": "cauchy", "layout": "odd_even"}

CASES: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, Any], Callable[[Tensor], Tensor]]] = {
    "relu gated": (torch.relu, {"gated": True}, lambda x: softtorch.relu(x, gated=True)),
    "relu gaussian": (torch.relu, {"gaussian": True, "softness": 0.4}, lambda x: softtorch.gaussian_relu(x, 0.4)),
    "clamp gated": (lambda x: x.clamp(-1, 1), {"gated": True}, lambda x: softtorch.clamp(x, -1, 1, gated=True)),
    "floor": (torch.floor, {"neighbor_radius": 1}, lambda x: softtorch.floor(x, neighbor_radius=1)),
    "sort": (
        lambda x: x.sort().values,
        NETWORK,
        lambda x: softtorch.sort(x, method=SortingNetwork(swap="cauchy", layout="odd_even")).values,
    ),
    "sort, error free": (
        lambda x: x.sort().values,
        NETWORK | {"error_free": True},
        lambda x: softtorch.sort(x, method=SortingNetwork("cauchy", True, "odd_even")).values,
    ),
    "max": (
        lambda x: x.max(0).values,
        {"gated_grad": False},
        lambda x: softtorch.max(x, 0, gated_grad=False).values,
    ),
    "gt": (lambda x: (x > 0).float(), {"epsilon": 0.2}, lambda x: softtorch.greater(x, 0.0, epsilon=0.2)),
}


@EXECUTOR
@pytest.mark.parametrize("name", CASES)
def test_the_option_reaches_the_operator(name: str, executor: str) -> None:
    program, fields, by_hand = CASES[name]
    x = X.clone().requires_grad_()
    policy = {"rule": [{"op": name.split()[0].rstrip(","), "action": "soft", **fields}]}
    soft = softfx.soften(program, policy, example_inputs=(x,), executor=executor)
    assert torch.equal(soft(x), by_hand(x))
    gradients = [torch.autograd.grad(f(x).sum(), x)[0] for f in (soft, by_hand)]
    assert torch.equal(*gradients)


def test_an_option_of_networks_with_another_method_is_told() -> None:
    policy = {"rule": [{"op": "sort", "action": "soft", "swap": "cauchy"}]}
    with pytest.raises(softfx.PolicyError, match=r"swap is an option of method = 'sorting_network'.* has 'neuralsort'"):
        softfx.check(lambda x: x.sort().values, policy, example_inputs=(X,))
