"""A model quantized to two bits, tuned through its rounding.

Requires: sklearn

Every weight of a trained network becomes one of four numbers, by round and clamp, and accuracy is lost. Only the scales
of the weights have a gradient left. softfx gives the rounding one, and the weights learn which of the four numbers to
be; the values, while training and after, are the quantized model's own.
"""

import argparse
import copy

import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.utils import parametrize

import softfx

LEAST, MOST = -2, 1  # two bits
STEPS = 200
# Whatever is rounded gets the derivative of what it was before, as quantization-aware training has it.
POLICY = {"preset": "gradients", "rule": [{"op": "round", "estimator": "identity"}]}


class TwoBits(nn.Module):
    """A parametrization: the weight (n, m) as a whole number within two bits times the scale."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(weight.detach().abs().amax() / -LEAST)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.clamp(torch.round(weight / self.scale), LEAST, MOST) * self.scale


def digits(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images (n, 64), test images, their labels (n,)."""
    x, y = load_digits(return_X_y=True)
    parts = train_test_split((x / 16).astype("float32"), y, test_size=0.5, random_state=seed)
    return tuple(torch.tensor(part) for part in parts)


def tune(model: nn.Module, x: Tensor, y: Tensor, rate: float) -> nn.Module:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return float((model(x).argmax(-1) == y).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, test_x, y, test_y = digits(seed)
    layers = [nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 10)]
    trained = tune(nn.Sequential(*layers), x, y, 0.01)
    quantized = copy.deepcopy(trained)
    for layer in quantized[::2]:
        parametrize.register_parametrization(layer, "weight", TwoBits(layer.weight))

    by_scales, model = copy.deepcopy(quantized), copy.deepcopy(quantized)
    tune(by_scales, x, y, 0.003)
    moved = not torch.equal(
        by_scales[0].parametrizations.weight.original, quantized[0].parametrizations.weight.original
    )
    soft = softfx.soften(model, POLICY, example_inputs=(x,))
    same = torch.equal(soft(x), quantized(x))
    tune(soft, x, y, 0.003)

    found = {
        "trained, 32 bits": accuracy(trained, test_x, test_y),
        "rounded to 2 bits": accuracy(quantized, test_x, test_y),
        "tuned, as it is": accuracy(by_scales, test_x, test_y),
        "tuned, softened": accuracy(softfx.harden(soft), test_x, test_y),
    }
    table = Table("model", "test accuracy", title="digits, three layers")
    for name, value in found.items():
        table.add_row(name, f"{value:.1%}")
    console = Console()
    console.print(table)
    numbers = model[2].parametrizations.weight[0].scale, model[2].weight
    codes = (numbers[1] / numbers[0]).round().unique().int().tolist()
    console.print("whole numbers in the middle layer:", codes)
    console.print("weights moved without softfx:", moved)

    assert same and not moved and set(codes) <= {-2, -1, 0, 1}
    assert found["tuned, softened"] > found["rounded to 2 bits"] + 0.1
    assert found["tuned, softened"] > found["tuned, as it is"] + 0.02


if __name__ == "__main__":
    main()
