"""Top-k feature selection: which three of ten features a given linear model needs.

Scores choose the features. Choosing has no gradient; the soft indices of topk have one, which raises the scores of
the features that the model uses.
"""

import json
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

import softtorch

DATA = json.loads((Path(__file__).parent / "data" / "readme_examples.json").read_text())["topk"]
MODEL = torch.tensor([0.0, 2.0, 0.0, -1.5, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0])
CHOSEN = 3


def loss(scores: Tensor, x: Tensor, y: Tensor, mode: str = "smooth") -> Tensor:
    """The mean soft absolute error of the model on the chosen features: (10,), (100, 10), (100,) -> ()."""
    index = softtorch.topk(scores, CHOSEN, mode=mode, gated_grad=False).indices  # (3, [10])
    mask = index.sum(dim=0)  # (10,)
    return softtorch.abs((x * mask) @ MODEL - y).mean()


def gradient(scores: Tensor, x: Tensor, y: Tensor) -> Tensor:
    scores = scores.detach().requires_grad_()
    return torch.autograd.grad(loss(scores, x, y), scores)[0]


def main() -> None:
    x, y = torch.tensor(DATA["X"]), torch.tensor(DATA["y"])
    start = torch.zeros(x.shape[1])
    soft = gradient(start, x, y)
    scores = start
    for _ in range(5):
        scores = scores - 0.001 * gradient(scores, x, y)
    selected = torch.topk(scores, CHOSEN).indices.tolist()

    console = Console()
    console.print("hard loss has a gradient:", loss(start.requires_grad_(), x, y, "hard").requires_grad)
    console.print("soft gradient at 0:", soft.tolist())
    console.print("selected features:", selected)

    # All scores are equal at the start: standardizing divides by sqrt(1e-6) and magnifies float32's rounding.
    assert torch.allclose(soft, torch.tensor(DATA["soft_grad"]), rtol=1e-3)
    assert selected == DATA["selected"]


if __name__ == "__main__":
    main()
