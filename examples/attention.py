"""Attention that may attend to nothing: the softmax of torch's own layer becomes softpick by one policy entry.

Each sequence holds six cards with a number and an amount, and asks for a number. The answer is that card's amount, or
0 where no card has the number. The answer is read off by attention, and softmax cannot give it: its weights sum to 1,
so that what it reads lies between the amounts there are, fit or not. Softpick's may sum to 0. The model is torch's own
nn.MultiheadAttention, unchanged; `op = "@normalization"` finds the softmax inside it.
"""

import argparse

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import softfx

NUMBERS, CARDS, WIDTH = 12, 6, 24
STEPS, BATCH = 500, 128
POLICY = {"preset": "keep", "rule": [{"op": "@normalization", "action": "soft", "variant": "rectified"}]}


def deal(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers (count, cards), amounts from 1 to 2 (count, cards), and the number asked for (count,)."""
    numbers = torch.rand(count, NUMBERS, generator=generator).argsort(-1)[:, :CARDS]
    amounts = 1 + torch.rand(count, CARDS, generator=generator)
    return numbers, amounts, torch.randint(0, NUMBERS, (count,), generator=generator)


class Lookup(nn.Module):
    """One query attends to the cards and reads their amounts."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Embedding(NUMBERS, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 1, batch_first=True)

    def forward(self, numbers: Tensor, amounts: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """What is read (count,), and the weights of the cards (count, cards)."""
        keys = self.number(numbers)
        _, weights = self.attention(self.number(asked)[:, None], keys, keys)
        return (weights[:, 0] * amounts).sum(-1), weights[:, 0]


def error(model: nn.Module, numbers: Tensor, amounts: Tensor, asked: Tensor) -> Tensor:
    hit = numbers == asked[:, None]
    result: Tensor = (model(numbers, amounts, asked)[0] - (hit * amounts).sum(-1)).square().mean()
    return result


def trained(model: nn.Module, generator: torch.Generator) -> nn.Module:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        optimizer.zero_grad()
        error(model, *deal(BATCH, generator)).backward()
        optimizer.step()
    return model


def judged(model: nn.Module, generator: torch.Generator) -> dict[str, float]:
    """Its error on cards it has not seen, and where its attention goes."""
    numbers, amounts, asked = deal(2000, generator)
    with torch.no_grad():
        weights, wrong = model(numbers, amounts, asked)[1], error(model, numbers, amounts, asked)
    there = (numbers == asked[:, None]).any(-1)
    return {
        "error": wrong.item(),
        "weight where a card fits": weights[there].sum(-1).mean().item(),
        "weight where none does": weights[~there].sum(-1).mean().item(),
        "weights that are exactly 0": (weights == 0).float().mean().item(),
    }


def main(seed: int) -> None:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    softmax, copy = Lookup(), Lookup()
    copy.load_state_dict(softmax.state_dict())
    softpick = softfx.soften(copy, POLICY, example_inputs=deal(BATCH, generator))
    results = {name: judged(trained(model, generator), generator) for name, model in
               (("softmax", softmax), ("softpick", softpick))}  # fmt: skip
    table = Table("attention", *results["softmax"])
    for name, result in results.items():
        table.add_row(name, *(f"{figure:.3f}" for figure in result.values()))
    Console().print(table)
    hard, soft = results["softmax"], results["softpick"]
    assert hard["weight where none does"] > 0.999 and hard["weights that are exactly 0"] == 0
    assert hard["error"] > 0.5, "half of the questions have the answer 0, and softmax says 1 or more"
    assert soft["error"] < 0.1 and soft["weight where none does"] < 0.1 < 0.8 < soft["weight where a card fits"]
    assert soft["weights that are exactly 0"] > 0.5


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
