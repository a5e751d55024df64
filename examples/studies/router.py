"""A Mixtral router, trained by what its experts answer.

Requires: transformers

A mixture of experts sends each token to the experts that score highest: `topk` of a softmax, the weights normalized
over the chosen. The block is Mixtral's as transformers has it, unmodified, with the batched implementation of its
experts that transformers ships. Of what the experts that were not chosen would have answered there is no gradient, and
where one expert is chosen its normalized weight is 1 and the gate has none at all. The recipe of the literature is an
auxiliary loss that balances the load. It says that all experts should be used, not which token needs which. Here the
experts are trained already, as in a mixture merged of specialists, domains are as unequal as words are (1 / rank), and
the gate has to learn who answers what. Told are the error of the output in units of its variance, how many tokens go to
the very experts that their domain needs, and the load of the busiest expert.

**By hand.** The auxiliary recipe returns the gate's logits beside the output and adds a loss to the task's, with a
weight to choose (transformers' `load_balancing_loss_func`, and 3 lines in a model that calls it). With softfx 0 lines
change.

**What did not work.** Where two experts are chosen, their weights have a gradient of their own. With it and a little
balance the gate finds its way, and softened by smooth values it ends behind that. Straight-through ends ahead of it
here and behind it at other seeds (`--seed 1300`: 0.085, where balance reaches 0.010). Where one is chosen, the gradient
of the own loss as it is consists of rounding, which Adam takes for a direction: that row moves and learns nothing. A
softened step asks each expert for each token, a product of all expert weights with each token's shares: five to eight
times the time of a hard step at this size, and more with more experts. The implementation of the experts as a Python
loop reads `nonzero` of the choice, which no soft index can give: softfx says that the gradient is cut there.

Sources: Jiang et al. 2024, Mixtral (arXiv 2401.04088); Fedus et al. 2021, Switch Transformers and their balancing loss
of weight 0.01 (arXiv 2101.03961).
"""

from dataclasses import dataclass

import torch
from study import Study, demand
from programs.choices import Batch, Ends, Recipe, Trial, error
from torch import nn
from transformers.models.mixtral.configuration_mixtral import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock, load_balancing_loss_func

OWN, BALANCED, STRAIGHT, SMOOTH = (
    "own loss, as it is",
    "and balance, weight {}",
    "own loss, straight-through, 0.3",
    "own loss, smooth values, 0.1",
)
WEIGHTS = (0.01, 0.1)


def policy(preset: str, softness: float) -> dict[str, object]:
    """The choice of experts alone, in units of their probabilities."""
    rule = {"op": "topk", "method": "lapsum", "softness": softness, "standardize": False}
    return {"preset": preset, "default": {"families": ["discrete"]}, "rule": [rule]}


RECIPES = (
    Recipe(OWN),
    *(Recipe(BALANCED.format(weight), auxiliary=weight) for weight in WEIGHTS),
    Recipe(STRAIGHT, policy("straight-through", 0.3)),
    Recipe(SMOOTH, policy("smooth", 0.1)),
)


@dataclass(frozen=True)
class Size:
    steps: int
    seeds: int
    tokens: int = 64
    experts: int = 8
    width: int = 16
    inner: int = 8
    chosen: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        demand(max(self.chosen) < self.experts, "fewer --chosen than --experts")


def block(size: Size, chosen: int) -> MixtralSparseMoeBlock:
    """transformers' block with random experts, and a gate as a Mixtral starts."""
    config = MixtralConfig(
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_local_experts=size.experts,
        num_experts_per_tok=chosen,
    )
    config._experts_implementation = "batched_mm"
    made = MixtralSparseMoeBlock(config)
    for name, parameter in made.named_parameters():
        nn.init.normal_(parameter, std=config.initializer_range if name == "gate.weight" else 0.4)
    return made


class World:
    """Domains with unequal shares, each around a centre, and the mixture that answers them right."""

    def __init__(self, size: Size, chosen: int) -> None:
        self.size, self.chosen = size, chosen
        self.centres = torch.randn(size.experts, size.width)
        self.answers = block(size, chosen)
        self.answers.gate.weight.data = 0.3 * self.centres

    def student(self) -> MixtralSparseMoeBlock:
        """A mixture with the right experts and a gate that knows nothing."""
        made = block(self.size, self.chosen)
        made.experts.load_state_dict(self.answers.experts.state_dict())
        return made

    def batch(self, tokens: int = 0) -> Batch:
        shares = 1.0 / torch.arange(1.0, self.size.experts + 1.0)
        domain = torch.multinomial(shares, tokens or self.size.tokens, replacement=True)
        x = (self.centres[domain] + 0.5 * torch.randn(len(domain), self.size.width)).unsqueeze(0)
        with torch.no_grad():
            return (x,), self.answers(x)

    def balance(self, module: nn.Module, batch: Batch) -> torch.Tensor:
        logits = module.get_submodule("gate")(batch[0][0])[0]
        return load_balancing_loss_func((logits,), self.size.experts, self.chosen)

    def judged(self, module: nn.Module) -> tuple[float, ...]:
        """The error, the share of tokens at the very experts that they need, the load of the busiest expert."""
        (x,), wanted = self.batch(2000)
        with torch.no_grad():
            sent, right = (each.gate(x)[2].sort(-1).values for each in (module, self.answers))
            load = torch.bincount(sent.flatten(), minlength=self.size.experts) / len(sent)
            return float(error(module(x), wanted)), float((sent == right).all(-1).float().mean()), float(load.max())


def main() -> None:
    study = Study(
        __file__, __doc__, quick=Size(80, 1), default=Size(300, 5), full=Size(10_000, 5, 1024, 64, 64, 64, (1, 2, 8))
    )
    size, ends = study.size, Ends()
    for seed in study.seeds(size.seeds):
        for chosen in size.chosen:
            world = World(size, chosen)
            trial = Trial(
                world.student(), ("gate.weight",), world.batch, world.balance, world.judged, size.steps, 0.02, seed
            )
            ends.add(f"{chosen} of {size.experts}", RECIPES, trial)
    study.table(
        "The choice of experts",
        ["chosen", "router", "error of the output", "tokens sent right", "busiest expert's load", "ms a step"],
        ends.rows(("", "%", "%")),
        f"{size.steps} steps of Adam of {size.tokens} tokens, {size.seeds} seeds; experts of width {size.inner} on "
        f"tokens of width {size.width}; milliseconds of processor time.",
    )
    study.draw(ends.picture, width=10)
    one = f"1 of {size.experts}"
    if 1 in size.chosen:
        auxiliary = min(ends.mean(one, BALANCED.format(weight)) for weight in WEIGHTS)
        softened = ends.mean(one, SMOOTH)
        part, most = ("", auxiliary) if study.quick else ("half of ", 0.5 * auxiliary)
        study.claim(
            f"{one}: softened, the error is below {part}the best that a balancing loss reaches", softened < most
        )
        study.claim(
            f"{one}: softened, more tokens go to the expert that they need than by any recipe that is not softened",
            ends.mean(one, SMOOTH, 1) > max(ends.mean(one, recipe.name, 1) for recipe in RECIPES if not recipe.policy),
        )
    study.finish()


if __name__ == "__main__":
    main()
