"""Sorting supervision: numbers read from images, learned from their order alone.

Requires: sklearn

Four handwritten digits make a number. A network gives each image one score, and all that training tells it is how the n
images of a set are ordered. The program is what a user writes: the one-hot permutation of `argsort`, compared to the
true one. It has no gradient. Softened by a policy, one method of relaxation after the other, it trains; `diffsort` does
the same by its own interface where it is installed (`pip install diffsort`). A set counts as exact if all of its
places are right, and each place counts element-wise.

**By hand.** The published code of each method is a module of its own that takes scores and returns a permutation
matrix: the loss is rewritten around it (3 lines), and another method is another package with another signature. With
softfx 0 lines change, and a method is a word in the policy.

**What did not work.** The methods fast_soft_sort and smooth_sort give no soft indices, so this program refuses them;
they need a loss of ranks. The best softness differs between methods and none is best for all, so a table at one
softness compares softnesses and not methods: each row names the best of a grid, chosen on the training sets.
torchsort compiles C++ at installation and SoftTorch has the import name of the operator library here, so neither can
stand beside softfx in one environment by `pip install` alone.

Sources: Grover et al. 2019 (arXiv 1903.08850), Petersen et al. 2021 (arXiv 2105.04019).
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.datasets import load_digits
from study import COLORS, Stopwatch, Study, spread, tidy
from torch import Tensor, nn
from torch.nn import functional as F

import softfx

Loss = Callable[[Tensor, Tensor], Tensor]
METHODS = ("softsort", "neuralsort", "ot", "sorting_network", "lapsum")
BATCH = 32


def order_loss(scores: Tensor, numbers: Tensor) -> Tensor:
    """The squared error of the permutation that sorts the scores, against that of the numbers: (b, n) x2 -> ()."""
    count = scores.shape[-1]
    predicted = F.one_hot(scores.argsort(-1), count).float()  # (b, n, n)
    true = F.one_hot(numbers.argsort(-1), count).float()
    return (predicted - true).square().sum((-1, -2)).mean()


def made(method: str, softness: float) -> Loss:
    """The loss, softened by a method."""
    policy = {"preset": "smooth", "default": {"families": ["discrete"], "method": method, "softness": softness}}
    example = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3)
    return softfx.soften(order_loss, policy, example_inputs=example)


def made_by_diffsort(count: int, steepness: float) -> Loss:
    """The same error of diffsort's permutation, which has the places in its columns."""
    from diffsort import DiffSortNet

    sorter = DiffSortNet("odd_even", count, steepness=steepness, device="cpu")

    def loss(scores: Tensor, numbers: Tensor) -> Tensor:
        true = F.one_hot(numbers.argsort(-1), count).float()
        return (sorter(scores)[1].mT - true).square().sum((-1, -2)).mean()

    return loss


def sets(images: Tensor, labels: Tensor, size: int, count: int) -> tuple[Tensor, Tensor]:
    """Sets of four-digit numbers: images (b, n, 4, 64) and the numbers (b, n)."""
    chosen = torch.randint(len(labels), (size, count, 4))
    return images[chosen], (labels[chosen] * torch.tensor([1000, 100, 10, 1])).sum(-1)


class Reader(nn.Module):
    """Four digits (..., 4, 64) to one score (...)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, digits: Tensor) -> Tensor:
        return self.layers(digits.flatten(-2)).squeeze(-1)


def right(model: Reader, digits: Tensor, numbers: Tensor) -> tuple[float, float]:
    """The shares of sets and of places that are right, in percent."""
    with torch.no_grad():
        ranks = model(digits).argsort(-1).argsort(-1) == numbers.argsort(-1).argsort(-1)
    return 100 * float(ranks.all(-1).float().mean()), 100 * float(ranks.float().mean())


@dataclass(frozen=True)
class Size:
    counts: tuple[int, ...]
    softnesses: tuple[float, ...]
    steps: int
    seeds: int


def trained(loss: Loss, data: tuple[Tensor, Tensor], count: int, steps: int, seed: int, watch: Stopwatch) -> Reader:
    torch.manual_seed(seed)
    model = Reader()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        digits, numbers = sets(*data, BATCH, count)
        with watch.timed():
            optimizer.zero_grad()
            loss(model(digits), numbers).backward()
            optimizer.step()
    return model


def makers(softnesses: tuple[float, ...]) -> dict[str, dict[float, Callable[[int], Loss]]]:
    """For each row of the table, its losses for n by softness."""
    found: dict[str, dict[float, Callable[[int], Loss]]] = {}
    for method in METHODS:
        found[method] = {s: lambda count, method=method, s=s: made(method, s) for s in softnesses}
    if importlib.util.find_spec("diffsort"):
        found["diffsort's own"] = {s: lambda count, s=s: made_by_diffsort(count, 1 / s) for s in softnesses}
    return found


def main() -> None:
    study = Study(__file__, __doc__)
    size = study.size(
        Size((3,), (0.3, 1.0), 80, 1),
        Size((3, 5, 9), (0.3, 1.0), 150, 5),
        Size((3, 5, 7, 9, 15), (0.03, 0.1, 0.3, 1.0, 3.0), 100_000, 5),
    )
    digits = load_digits()
    images, labels = torch.tensor((digits.data / 16).astype("float32")), torch.tensor(digits.target)
    train, held = (images[:1400], labels[:1400]), (images[1400:], labels[1400:])
    hard_has_gradient = order_loss(torch.randn(2, 3, requires_grad=True), torch.randn(2, 3)).requires_grad
    rows, places = [], {}
    for count in size.counts:
        torch.manual_seed(study.seed + 1000)
        test, fit = sets(*held, 1000, count), sets(*train, 500, count)
        untrained = [right(Reader(), *test) for _ in study.seeds(size.seeds)]
        rows.append([count, "untrained", "", *(spread(part, 1) for part in zip(*untrained, strict=True)), ""])
        for name, losses in makers(size.softnesses).items():
            best, watch = [], Stopwatch()
            for seed in range(study.seed, study.seed + size.seeds):
                tried = []
                for softness, maker in losses.items():
                    model = trained(maker(count), train, count, size.steps, seed, watch)
                    tried.append((right(model, *fit)[1], softness, right(model, *test)))
                best.append(max(tried))
            exact, element = zip(*(result for _, _, result in best), strict=True)
            places[count, name] = list(element)
            chosen = ", ".join(sorted({f"{softness:g}" for _, softness, _ in best}))
            rows.append([count, name, chosen, spread(exact, 1), spread(element, 1), watch.each()])
    study.table(
        "Order of four-digit numbers",
        ["n", "method", "softness chosen", "exact, %", "element-wise, %", "ms a step"],
        rows,
        f"{size.steps} steps of {BATCH} sets, {size.seeds} seeds, softness from {size.softnesses} by the order of "
        "training sets; 1000 sets of digits not trained on. diffsort's softness is 1 over its steepness.",
    )

    def picture(figure: Any) -> None:
        axis = figure.subplots()
        for (name, _), color in zip(makers(size.softnesses).items(), COLORS, strict=False):
            line = [sum(places[count, name]) / size.seeds for count in size.counts]
            axis.plot(size.counts, line, "o-", color=color, label=name)
        axis.legend(fontsize=7, frameon=False, bbox_to_anchor=(1, 1))
        tidy(axis, "", "numbers in a set", "places right, %")

    study.draw(picture, width=7)
    study.claim("the hard loss has no gradient", not hard_has_gradient)
    for count in size.counts:
        worst = min(sum(places[count, method]) / size.seeds for method in METHODS)
        study.claim(f"n = {count}: every method gets a quarter more places right than chance", worst > 125 / count)
    study.finish()


if __name__ == "__main__":
    main()
