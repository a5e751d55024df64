"""A learned threshold: the sum of what lies above it is to be 2.

A comparison has no gradient. A soft one says which way the threshold has to move.
"""

import torch
from rich.console import Console
from torch import Tensor

import softtorch

X = torch.tensor([0.2, 0.8, 0.5, 1.2, 0.1])
TARGET = 2.0  # 0.8 + 1.2


def loss(threshold: Tensor, mode: str = "smooth") -> Tensor:
    """The squared error of the sum of the entries above a threshold: () -> ()."""
    above = softtorch.greater(X, threshold, mode=mode)  # (5,)
    return ((above * X).sum() - TARGET) ** 2


def gradient(threshold: Tensor) -> Tensor:
    threshold = threshold.detach().requires_grad_()
    return torch.autograd.grad(loss(threshold), threshold)[0]


def main() -> None:
    start = torch.tensor(0.0)
    soft = gradient(start)
    threshold = start
    for _ in range(20):
        threshold = threshold - 0.1 * gradient(threshold)

    console = Console()
    console.print("hard loss has a gradient:", loss(start.requires_grad_(), "hard").requires_grad)
    console.print(f"soft gradient at 0: {soft.item():.4f}")
    console.print(f"learned threshold: {threshold.item():.4f}; hard loss there: {loss(threshold, 'hard').item():.4f}")

    # Four digits, as the figures were published.
    assert round(soft.item(), 4) == -0.66
    assert round(threshold.item(), 4) == 0.6211
    assert loss(threshold, "hard") < 1e-10


if __name__ == "__main__":
    main()
