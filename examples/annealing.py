"""Choosing five of thirty sensors, with a softness that is annealed while training.

Scores choose the sensors by topk, weights are fitted to the chosen. The original trains the weights of the sensors that
happen to be chosen at the start. At a large softness the scores find the sensors that matter, but what is fitted is a
mixture of all; at a small one the first choice is never left. A schedule from large to small has the good of both. All
are judged as what they are in the end: five sensors.
"""

import argparse

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import softfx

SENSORS, CHOSEN, STEPS, COOLING = 30, 5, 600, 500
LARGE, SMALL = 5.0, 0.05


class Selection(nn.Module):
    """A linear model of the sensors with the largest scores: (n, 30) -> (n,)."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.randn(SENSORS))
        self.weights = nn.Parameter(torch.zeros(SENSORS))

    def forward(self, readings: Tensor) -> Tensor:
        mask = torch.zeros(SENSORS).scatter(0, self.scores.topk(CHOSEN).indices, 1.0)
        return (readings * mask) @ self.weights


def world() -> tuple[Tensor, Tensor]:
    """Which sensors matter and how much (30,), and how the readings are correlated (30, 30)."""
    weights = torch.zeros(SENSORS)
    weights[torch.randperm(SENSORS)[:CHOSEN]] = 1 + torch.rand(CHOSEN)
    return weights, torch.eye(SENSORS) + 0.15 * torch.randn(SENSORS, SENSORS)


def data(count: int, weights: Tensor, mixing: Tensor) -> tuple[Tensor, Tensor]:
    """Readings (n, 30) and what is to be predicted of them (n,)."""
    readings = torch.randn(count, SENSORS) @ mixing
    return readings, readings @ weights + 0.3 * torch.randn(count)


def train(model: nn.Module, x: Tensor, y: Tensor, schedule: softfx.SoftnessSchedule | None) -> None:
    """Fit `model`, or what the schedule drives: the model, softened."""
    target = model if schedule is None else schedule.target
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (target(x) - y).square().mean().backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    weights, mixing = world()
    (x, y), (test_x, test_y) = data(500, weights, mixing), data(2000, weights, mixing)
    runs = {
        "the original": None,
        f"softness {LARGE:g}": (LARGE, LARGE),
        f"softness {SMALL:g}": (SMALL, SMALL),
        f"softness {LARGE:g} to {SMALL:g}": (LARGE, SMALL),
    }
    table = Table("training", "sensors found", "test error of five sensors", title="5 of 30 sensors matter")
    found = {}
    for name, ends in runs.items():
        torch.manual_seed(seed + 1)
        model, schedule = Selection(), None
        if ends is not None:
            soft = softfx.soften(model, "smooth", example_inputs=(x,))
            schedule = softfx.ExponentialSoftness(soft, *ends, total_iters=COOLING)
        train(model, x, y, schedule)
        right = int((weights[model.scores.topk(CHOSEN).indices] > 0).sum())
        with torch.no_grad():
            found[name] = right, float((model(test_x) - test_y).square().mean())
        table.add_row(name, f"{right} of {CHOSEN}", f"{found[name][1]:.2f}")
    Console().print(table)

    *others, (right, error) = found.values()
    assert right >= CHOSEN - 1
    assert error < 0.75 * min(other for _, other in others)
    assert found["the original"][0] < right  # its scores never change


if __name__ == "__main__":
    main()
