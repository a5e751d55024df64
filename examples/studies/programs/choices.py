"""What the studies of learned choices share: recipes to train one module that chooses, and the table of their ends.

A recipe is a policy, or none, and the weight of an auxiliary loss. All recipes of a seed start from one state, see the
same batches and are judged on the same data.
"""

import copy
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from study import COLORS, Stopwatch, spread, tidy
from torch import Tensor, nn

import softfx

JUDGED = 2**32  # beyond the seeds that training takes
Batch = tuple[tuple[Tensor, ...], Tensor]  # the arguments of the module, and what is wanted of it


@dataclass(frozen=True)
class Recipe:
    """How a module is trained: its own loss, softened by a policy or as it is, and an auxiliary one.

    own: the weight of the own loss.
    auxiliary: the weight of the auxiliary loss.
    """

    name: str
    policy: dict[str, Any] | None = None
    own: float = 1.0
    auxiliary: float = 0.0


@dataclass
class Trial:
    """One seed of one setting: a module, what it is trained on, and what it is judged by.

    parameters: the names of those that learn.
    auxiliary: the auxiliary loss of the module and a batch.
    judged: the numbers of one row of the table.
    seed: of the batches, and of the data that it is judged by.
    """

    module: nn.Module
    parameters: tuple[str, ...]
    batch: Callable[[], Batch]
    auxiliary: Callable[[nn.Module, Batch], Tensor]
    judged: Callable[[nn.Module], tuple[float, ...]]
    steps: int
    rate: float
    seed: int = 0

    def judge(self, module: nn.Module) -> tuple[float, ...]:
        """The numbers of a module, on data that are the same for all recipes and none of them has trained on."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(JUDGED + self.seed)
            return self.judged(module)

    def run(self, recipe: Recipe, watch: Stopwatch) -> tuple[float, ...]:
        """What the recipe reaches; a recipe whose loss has no gradient ends where it starts."""
        module = copy.deepcopy(self.module)
        function: Callable[..., Tensor] = module
        if recipe.policy is not None:
            with torch.random.fork_rng(devices=[]):  # the example takes no batch from those to come
                function = softfx.soften(module, recipe.policy, example_inputs=self.batch()[0])
        learn = [parameter for name, parameter in module.named_parameters() if name in self.parameters]
        optimizer = torch.optim.Adam(learn, lr=self.rate)
        for _ in range(self.steps):
            batch = self.batch()
            with watch.timed():
                loss = recipe.own * error(function(*batch[0]), batch[1]) if recipe.own else torch.zeros(())
                if recipe.auxiliary:
                    loss = loss + recipe.auxiliary * self.auxiliary(module, batch)
                if not loss.requires_grad:
                    break
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return self.judge(module)


def error(found: Tensor, wanted: Tensor) -> Tensor:
    """The squared error, in units of the variance of what is wanted."""
    return (found - wanted).square().mean() / wanted.var()


@dataclass
class Ends:
    """What each recipe reached in each setting, over seeds; the error of the output is the first number."""

    found: dict[tuple[str, str], list[tuple[float, ...]]] = field(default_factory=lambda: defaultdict(list))
    watches: dict[tuple[str, str], Stopwatch] = field(default_factory=lambda: defaultdict(Stopwatch))

    def add(self, setting: str, recipes: tuple[Recipe, ...], trial: Trial) -> None:
        self.found[setting, "as it starts"].append(trial.judge(trial.module))
        for recipe in recipes:
            torch.manual_seed(trial.seed)
            place = setting, recipe.name
            self.found[place].append(trial.run(recipe, self.watches[place]))

    def mean(self, setting: str, name: str, which: int = 0) -> float:
        values = [row[which] for row in self.found[setting, name]]
        return sum(values) / len(values)

    def rows(self, units: tuple[str, ...]) -> list[list[str]]:
        """A row for each setting and recipe; numbers with a unit "%" are shares."""
        rows = []
        for (setting, name), ends in self.found.items():
            cells = []
            for unit, values in zip(units, zip(*ends, strict=True), strict=True):
                cells.append(spread([100 * value for value in values], 1, " %") if unit == "%" else spread(values, 3))
            time = self.watches[setting, name].each() if (setting, name) in self.watches else "-"
            rows.append([setting, name, *cells, time])
        return rows

    def picture(self, figure: Any) -> None:
        """The errors of all seeds, a panel for each setting."""
        settings = list(dict.fromkeys(setting for setting, _ in self.found))
        axes = figure.subplots(1, len(settings), squeeze=False)[0]
        for axis, setting in zip(axes, settings, strict=True):
            names = [name for other, name in self.found if other == setting]
            for place, name in enumerate(names):
                values = [row[0] for row in self.found[setting, name]]
                axis.scatter(values, [place] * len(values), color=COLORS[place % len(COLORS)], s=14, clip_on=False)
            axis.set_yticks(range(len(names)), names if axis is axes[0] else [""] * len(names), fontsize=7)
            axis.invert_yaxis()
            axis.set_xlim(left=0)
            tidy(axis, setting, "error of the output", "")
