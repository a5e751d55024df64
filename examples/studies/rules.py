"""A scorecard of Python `if`s and a forest, tuned beyond what was fitted.

Requires: sklearn, hummingbird

A scorecard adds points for each `if` that holds, as clinics and banks write them; a forest is what scikit-learn grew
and hummingbird compiled. Both were fitted before: each rule of the scorecard one by one, a measure and the threshold
that separates best by itself, its points by logistic regression on what the rules say; the forest greedily, split by
split. Here all their numbers are tuned together on the loss of what they say. Points and leaves have a gradient as they
are, what decides has none: the `if`s are Python's, and the forest's comparisons stand under no_grad.

**By hand.** A scorecard is written anew as sigmoids (each `if` and its points a line, and a temperature: 2 of the 5
lines of `score`), a forest as a soft tree with routing probabilities (the 2 lines of hummingbird's `forward` that
compare, and its `no_grad`), another model whose hard form is not what was trained. With softfx 0 lines change, and what
is measured is the hard program.

**What did not work.** A step of the scorecard makes its call again for each `if` turned round, image by image: it takes
fifteen to twenty times as long as one of the points alone. A step of the softened forest takes some six times as long
as one of its leaves alone.
"""

import copy
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from study import COLORS, Stopwatch, Study, spread, tidy
from hummingbird.ml import convert
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import softfx

RULES = 8
FITTED, POINTS, TUNED = "as fitted", "points, which have a gradient", "softened: weights and thresholds, too"
LEAVES, WHOLE = "leaves, which have a gradient", "softened, directions and thresholds too"
BY_BRANCH = {"rule": [{"op": "@control", "action": "straight_through", "samples": 0}]}
LIFTED = {"preset": "gradients", "default": {"lift_no_grad": True}}
cross_entropy = nn.functional.binary_cross_entropy_with_logits


def score(ink: Tensor, weights: Tensor, thresholds: Tensor, points: Tensor) -> Tensor:
    """The points of one image: its ink (8,), each rule's weights (8, 8), thresholds (8,), points (9,) -> ()."""
    total = points[RULES]
    for rule in range(RULES):
        if weights[rule] @ ink > thresholds[rule]:
            total = total + points[rule]
    return total


Score = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Card = tuple[Tensor, ...]  # weights, thresholds, points


@dataclass(frozen=True)
class Size:
    steps: int
    batch: int
    seeds: int
    trees: int
    tree_steps: int


# -- the scorecard -----------------------------------------------------------------------------------------------------


def digits(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images (n, 64) in training and test, and their labels (n,)."""
    x, y = load_digits(return_X_y=True)
    parts = train_test_split((x / 16).astype("float32"), y, test_size=0.5, random_state=seed)
    x, test_x, y, test_y = (torch.tensor(part) for part in parts)
    return x, test_x, y, test_y


def patches(x: Tensor) -> Tensor:
    """The ink in eight patches of an image (n, 64): four from top to bottom, left and right -> (n, 8)."""
    return x.unflatten(-1, (4, 2, 2, 4)).mean((2, 4)).flatten(1)


def images(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The ink of images (n, 8) in training and test, in units of training's spread; if a loop is in the digit (n,)."""
    x, test_x, y, test_y = digits(seed)
    x, test_x = patches(x), patches(test_x)
    y, test_y = (torch.isin(labels, torch.tensor([0, 6, 8, 9])).float() for labels in (y, test_y))
    return (x - x.mean(0)) / x.std(0), (test_x - x.mean(0)) / x.std(0), y, test_y


def fitted(x: Tensor, y: Tensor) -> Card:
    """A rule for each measure, with the threshold that separates best by itself, and points by logistic regression."""
    candidates = x.quantile(torch.linspace(0.05, 0.95, 37), dim=0)  # (37, 8)
    right = ((x > candidates.unsqueeze(1)).float() == y.view(-1, 1)).float().mean(1)  # (37, 8)
    right = torch.maximum(right, 1.0 - right)  # points may be negative
    thresholds = candidates.gather(0, right.argmax(0, keepdim=True)).squeeze(0)
    weighed = LogisticRegression().fit((x > thresholds).numpy(), y.numpy())
    return torch.eye(RULES), thresholds, torch.tensor([*weighed.coef_[0], *weighed.intercept_], dtype=torch.float32)


def judged(x: Tensor, y: Tensor, weights: Tensor, thresholds: Tensor, points: Tensor) -> tuple[float, float]:
    """The cross entropy and the accuracy of the hard scorecard."""
    with torch.no_grad():
        scores = (x @ weights.T > thresholds).float() @ points[:RULES] + points[RULES]
        return float(cross_entropy(scores, y)), float(((scores > 0).float() == y).float().mean())


def tuned_card(one: Score, x: Tensor, y: Tensor, start: Card, size: Size, watch: Stopwatch) -> Card:
    """Adam on the cross entropy of batches of images, each scored by itself; the mean of the last half of iterates."""
    card = [part.clone().requires_grad_() for part in start]
    optimizer = torch.optim.Adam(card, lr=0.02)
    kept = [torch.zeros_like(part) for part in start]
    for step in range(size.steps):
        chosen = torch.randint(len(x), (size.batch,))
        with watch.timed():
            scores = torch.stack([one(image, *card) for image in x[chosen]])
            optimizer.zero_grad()
            cross_entropy(scores, y[chosen]).backward()
            optimizer.step()
        if step >= size.steps // 2:
            for mean, part in zip(kept, card, strict=True):
                mean += part.detach() / (size.steps - size.steps // 2)
    return tuple(kept)


# -- the forest --------------------------------------------------------------------------------------------------------


def tuned_forest(
    votes: Callable[[Tensor], Tensor], parts: list[Tensor], x: Tensor, y: Tensor, steps: int, watch: Stopwatch
) -> None:
    """Adam on the cross entropy of the forest's mean votes (n, 10)."""
    optimizer = torch.optim.Adam(parts, lr=0.008)
    for _ in range(steps):
        with watch.timed():
            optimizer.zero_grad()
            nn.functional.cross_entropy(10 * votes(x), y).backward()
            optimizer.step()


def forests(seed: int, size: Size, watches: dict[str, Stopwatch]) -> dict[str, float]:
    """Test accuracy of a forest as grown, with its leaves tuned, softened and tuned whole, and of one twice as deep."""
    x, test_x, y, test_y = digits(seed)
    grown = RandomForestClassifier(size.trees, max_depth=4, random_state=seed).fit(x, y)
    deeper = RandomForestClassifier(size.trees, max_depth=8, random_state=seed).fit(x, y)
    threads = torch.get_num_threads()
    compiled = convert(grown, "torch", extra_config={"tree_implementation": "gemm"}).model
    torch.set_num_threads(threads)  # hummingbird takes all processors, for the rest of the run
    names = ("weight_1", "bias_1", "weight_3")  # directions, thresholds, votes of the leaves

    leaves = copy.deepcopy(compiled)
    trees = leaves._operators[0]
    tuned_forest(lambda x: trees(x)[1], [trees.weight_3], x, y, size.tree_steps, watches[LEAVES])

    whole = copy.deepcopy(compiled)
    soft = softfx.soften(whole, LIFTED, example_inputs=(x,))
    parts = [getattr(whole._operators[0], name) for name in names]
    tuned_forest(lambda x: soft(x)[1], parts, x, y, size.tree_steps, watches[WHOLE])

    def accuracy(forest: Any) -> float:
        return float((forest(test_x)[0] == test_y).float().mean())

    return {
        "as grown": accuracy(compiled),
        LEAVES: accuracy(leaves),
        WHOLE: accuracy(softfx.harden(soft)),
        "grown to depth 8, for comparison": float(deeper.score(test_x.numpy(), test_y.numpy())),
    }


@dataclass
class Found:
    """What the seeds found: of each way to tune a scorecard loss and accuracy in training and test, of each forest."""

    cards: dict[str, list[tuple[float, ...]]] = field(default_factory=lambda: defaultdict(list))
    forests: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    watches: dict[str, Stopwatch] = field(default_factory=lambda: defaultdict(Stopwatch))
    weights: list[Tensor] = field(default_factory=list)

    def scorecards(self, seed: int, size: Size) -> None:
        x, test_x, y, test_y = images(seed)
        start = fitted(x, y)
        example = (x[0], *(part.clone().requires_grad_() for part in start))
        soft = softfx.soften(score, BY_BRANCH, example_inputs=example)
        for name, one in {FITTED: None, POINTS: score, TUNED: soft}.items():
            torch.manual_seed(seed)  # the same batches
            card = start if one is None else tuned_card(one, x, y, start, size, self.watches[name])
            self.cards[name].append((*judged(x, y, *card), *judged(test_x, test_y, *card)))
        self.weights.append(card[0])

    def column(self, name: str, which: int) -> list[float]:
        return [row[which] for row in self.cards[name]]

    def tables(self, study: Study, size: Size) -> None:
        study.table(
            "Eight `if`s of the ink in eight patches: is there a loop in the digit?",
            ["scorecard", "loss", "accuracy", "loss in test", "accuracy in test", "ms a step"],
            [
                [name, *(spread(self.column(name, i), 3) for i in range(4)), self.watches[name].each()]
                for name in self.cards
            ],
            f"{size.steps} steps of Adam of {size.batch} images, {size.seeds} seeds that split 1,797 images in halves. "
            "Each image is a call; hard scores everywhere.",
        )
        study.table(
            "Forests of depth 4: digits",
            ["forest", "accuracy in test", "ms a step"],
            [
                [name, spread([100 * value for value in values], 1, " %"), self.watches[name].each()]
                for name, values in self.forests.items()
            ],
            f"{size.trees} trees, {size.tree_steps} steps of Adam on 898 images, {size.seeds} seeds.",
        )

    def picture(self, figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        weights = torch.stack(self.weights).mean(0)
        largest = float(weights.abs().max())
        scale = figure.colorbar(left.imshow(weights, cmap="PuOr", vmin=-largest, vmax=largest), ax=left)
        scale.set_label("weight", fontsize=8)
        scale.ax.tick_params(labelsize=7)
        tidy(left, "weights of each rule after tuning (one of each before)", "patch", "rule")
        for row, values in enumerate(self.forests.values()):
            right.plot([100 * value for value in values], [row] * len(values), "o", color=COLORS[row], markersize=5)
        right.set_yticks(range(len(self.forests)), [name.split(",")[0] for name in self.forests], fontsize=7)
        right.invert_yaxis()
        tidy(right, "forests, a point for each seed", "accuracy in test, %", "")


def main() -> None:
    study = Study(
        __file__,
        __doc__,
        quick=Size(15, 16, 1, 5, 20),
        default=Size(300, 32, 5, 10, 60),
        full=Size(2000, 64, 20, 40, 200),
    )
    size = study.size
    found = Found()
    for seed in study.seeds(size.seeds):
        found.scorecards(seed, size)
        for name, accuracy in forests(seed, size, found.watches).items():
            found.forests[name].append(accuracy)
    found.tables(study, size)
    study.draw(found.picture, width=10)
    loss = {name: statistics.fmean(found.column(name, 0)) for name in found.cards}
    right = {name: statistics.fmean(found.column(name, 3)) for name in found.cards}
    study.claim(
        "tuned together, weights, thresholds and points have a lower loss in training than tuned points",
        loss[TUNED] < loss[POINTS],
    )
    study.claim(
        "and are right more often in test, by a tenth of all images",
        right[TUNED] > right[POINTS] + 0.1,
        at_quick=False,
    )
    grown, leaves, softened, _ = (statistics.fmean(values) for values in found.forests.values())
    study.claim("a softened forest gains more in test than its leaves alone", softened > leaves > grown)
    study.finish()


if __name__ == "__main__":
    main()
