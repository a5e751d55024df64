"""A scikit-learn forest, compiled to torch by hummingbird and fine-tuned by gradient descent.

Requires: sklearn, hummingbird

The compiled forest runs under no_grad, and its decisions are comparisons: of its parameters at most the votes in the
leaves can be trained. softfx lifts the block and gives the comparisons a gradient; values stay those of the hard
forest, so what is trained here is a forest of hard decisions, with learned directions and thresholds.
"""

import argparse
import copy
from collections.abc import Callable

import torch
from hummingbird.ml import convert
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import softfx

POLICY = {"preset": "gradients", "default": {"lift_no_grad": True}}
STEPS = 36


def digits(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images (n, 64), test images, their labels (n,)."""
    x, y = load_digits(return_X_y=True)
    parts = train_test_split((x / 16).astype("float32"), y, test_size=0.5, random_state=seed)
    return tuple(torch.tensor(part) for part in parts)


def tune(votes: Callable[[Tensor], Tensor], parameters: list[nn.Parameter], x: Tensor, y: Tensor) -> None:
    """Gradient descent on the cross entropy of the forest's mean votes (n, 10)."""
    optimizer = torch.optim.Adam(parameters, lr=0.008)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(10 * votes(x), y).backward()
        optimizer.step()


def accuracy(forest: nn.Module, x: Tensor, y: Tensor) -> float:
    return float((forest(x)[0] == y).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    x, test_x, y, test_y = digits(seed)
    grown = RandomForestClassifier(10, max_depth=4, random_state=seed).fit(x, y)
    compiled = convert(grown, "torch", extra_config={"tree_implementation": "gemm"}).model

    # What the original allows: inside the no_grad block, its operator can be called for the votes of the leaves.
    leaves = copy.deepcopy(compiled)
    trees = leaves._operators[0]
    parts = {name: getattr(trees, name) for name in ("weight_1", "bias_1", "weight_3")}
    gradients = torch.autograd.grad(trees(x)[1].square().sum(), parts.values(), allow_unused=True)
    learnable = [part for part, gradient in zip(parts.values(), gradients, strict=True) if gradient is not None]
    tune(lambda x: trees(x)[1], learnable, x, y)

    tuned = copy.deepcopy(compiled)
    soft = softfx.soften(tuned, POLICY, example_inputs=(x,))
    tune(lambda x: soft(x)[1], [getattr(tuned._operators[0], name) for name in parts], x, y)

    found = {
        "scikit-learn": float(grown.score(test_x.numpy(), test_y.numpy())),
        "compiled": accuracy(compiled, test_x, test_y),
        "leaves tuned, all that has a gradient": accuracy(leaves, test_x, test_y),
        "softened: directions and thresholds, too": accuracy(softfx.harden(soft), test_x, test_y),
    }
    table = Table("forest", "test accuracy", title="10 trees of depth 4 on digits")
    for name, value in found.items():
        table.add_row(name, f"{value:.1%}")
    console = Console()
    console.print(table)
    console.print({site.op: site.action for site in soft.report.sites})

    original, compiled_to, by_leaves, softened = found.values()
    assert not compiled(x)[1].requires_grad  # as hummingbird made it, nothing can be trained
    assert gradients[0] is None and gradients[1] is None  # and without its no_grad block only the leaves
    assert abs(original - compiled_to) < 0.01
    assert softened > original + 0.05 and softened > by_leaves + 0.02


if __name__ == "__main__":
    main()
