"""A rule with learned bounds: an example is positive if any of its features lies between lo and hi.

The whole loss is wrapped by `st`: its value is that of the hard rule, its derivative that of soft logic.
"""

import torch
from rich.console import Console
from torch import Tensor

import softtorch

FIRST = [0.2, 0.5, 0.9, 0.4, 0.1, 0.2, 0.4, 0.4, 0.7, 0.3, 0.61, 0.4, 0.0, 0.5, 0.4, 0.1]
SECOND = [0.8, 0.3, 0.1, 0.7, 0.4, 0.7, 0.1, 0.7, 0.29, 0.3, 0.25, 0.6, 0.1, 0.3, 0.9, 0.57]
X = torch.tensor([FIRST, SECOND]).T  # (16, 2)
LABELS = torch.tensor([0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1], dtype=torch.float32)  # (16,)


@softtorch.st
def loss(bounds: Tensor, mode: str = "smooth") -> Tensor:
    """How many examples the rule gets wrong: (2,) -> ()."""
    inside = softtorch.logical_and(
        softtorch.greater(X, bounds[0], mode=mode), softtorch.less(X, bounds[1], mode=mode)
    )  # (16, 2)
    return ((softtorch.any(inside, dim=-1) - LABELS) ** 2).sum()


def gradient(bounds: Tensor) -> Tensor:
    bounds = bounds.detach().requires_grad_()
    return torch.autograd.grad(loss(bounds), bounds)[0]


def main() -> None:
    start = torch.tensor([0.0, 1.0])
    soft = gradient(start)
    bounds = start
    for _ in range(20):
        bounds = bounds - 0.01 * gradient(bounds)

    console = Console()
    console.print("wrong at first:", int(loss(start)), "of", len(LABELS))
    console.print("gradient at (0, 1):", soft.tolist())
    console.print("learned bounds:", bounds.tolist(), " wrong with them:", int(loss(bounds)))

    # Four digits, as the figures were published.
    assert torch.allclose(soft, torch.tensor([-4.2777, 1.4152]), atol=1e-4)
    assert torch.allclose(bounds, torch.tensor([0.2925, 0.5999]), atol=1e-4)
    assert loss(bounds) == 0


if __name__ == "__main__":
    main()
