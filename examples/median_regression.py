"""Median regression: the median of the absolute residuals does not see an outlier, and is hard to descend.

The median is one residual, so the hard gradient is that of one example. The soft one hears all that are near.
"""

import json
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

import softtorch

DATA = json.loads((Path(__file__).parent / "data" / "readme_examples.json").read_text())["median"]


def loss(w: Tensor, x: Tensor, y: Tensor, mode: str = "smooth") -> Tensor:
    """The median absolute residual of the prediction x @ w: w (3,), x (20, 3), y (20,) -> ()."""
    return softtorch.median(softtorch.abs(y - x @ w, mode=mode), mode=mode)


def gradient(w: Tensor, x: Tensor, y: Tensor, mode: str = "smooth") -> Tensor:
    w = w.detach().requires_grad_()
    return torch.autograd.grad(loss(w, x, y, mode), w)[0]


def main() -> None:
    x, y = torch.tensor(DATA["X"]), torch.tensor(DATA["y"])  # the first of y is 1e6
    start = torch.zeros(3)
    soft = gradient(start, x, y)
    w = start
    for _ in range(50):
        w = w - 0.1 * gradient(w, x, y)

    console = Console()
    console.print("hard gradient at 0:", gradient(start, x, y, "hard").tolist())
    console.print("soft gradient at 0:", soft.tolist())
    console.print("learned:", w.tolist(), " true:", DATA["learned"])

    # Four digits, as the figures were published.
    assert torch.allclose(soft, torch.tensor(DATA["soft_grad"]), atol=1e-4)
    assert torch.allclose(w, torch.tensor(DATA["learned"]), atol=1e-4)


if __name__ == "__main__":
    main()
