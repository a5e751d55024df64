"""The F1 score of torchmetrics, optimised directly.

Requires: torchmetrics

One example in fifteen is positive and the classes overlap. Cross entropy gives good probabilities and a poor F1 at the
threshold that the metric uses; the metric itself compares and counts, and has no gradient. Softened it is a loss.
"""

import argparse
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_f1_score

import softfx

STEPS = 300


def data(count: int) -> tuple[Tensor, Tensor]:
    """Features (n, 5) and labels (n,): two overlapping clouds."""
    y = (torch.rand(count) < 1 / 15).long()
    return torch.randn(count, 5) + 0.7 * y.unsqueeze(-1), y


def trained(loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> nn.Module:
    """A small network that ends in probabilities, trained on probabilities (n,) and labels (n,)."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    (x, y), (test_x, test_y) = data(3000), data(10000)

    example = (torch.rand(3000), y)
    soft_f1 = softfx.soften(binary_f1_score, "smooth", example_inputs=example)
    hard_has_gradient = binary_f1_score(torch.rand(5, requires_grad=True), y[:5]).requires_grad
    models = {
        "cross entropy": trained(lambda p, y: nn.functional.binary_cross_entropy(p, y.float()), x, y),
        "softened F1": trained(lambda p, y: 1 - soft_f1(p, y), x, y),
    }

    table = Table("trained on", "test F1", "said to be positive", title="torchmetrics' F1, one positive in fifteen")
    scores = {}
    for name, model in models.items():
        probabilities = model(test_x).detach()
        scores[name] = float(binary_f1_score(probabilities, test_y))
        table.add_row(name, f"{scores[name]:.3f}", f"{(probabilities > 0.5).float().mean():.1%}")
    console = Console()
    console.print(table)
    console.print("the original metric has a gradient:", hard_has_gradient)
    console.print("softened:", sorted({site.op for site in soft_f1.report.sites if site.action == "soft"}))

    assert not hard_has_gradient
    assert scores["softened F1"] > scores["cross entropy"] + 0.03


if __name__ == "__main__":
    main()
