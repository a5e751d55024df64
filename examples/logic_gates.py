"""A network of logic gates: trained as probabilities, used as gates, and the gap between the two.

Every neuron is one of the 16 functions of two bits; which one is learned. In training it is the expected gate, which is
better than the gates chosen in the end until they are decided, or, with Gumbel noise and straight-through gradients,
one gate drawn at random, which is worse.
"""

import argparse
from itertools import pairwise

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import softtorch

BITS, WIDTH, STEPS = 8, 256, 400
NAMES = list(softtorch.GATES)


class GateNetwork(nn.Module):
    """Bits (b, 8) to scores of two classes (b, 2): counts of the gates that are on."""

    def __init__(self, straight_through: bool) -> None:
        super().__init__()
        sizes = [BITS, WIDTH, WIDTH, WIDTH]
        layers = [
            softtorch.LogicLayer(before, after, straight_through=straight_through) for before, after in pairwise(sizes)
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, bits: Tensor) -> Tensor:
        return self.layers(bits).unflatten(-1, (2, -1)).sum(-1) / 10


def numbers() -> tuple[Tensor, Tensor]:
    """All pairs of numbers of four bits, and whether the first is larger."""
    bits = (torch.arange(2**BITS).unsqueeze(-1) >> torch.arange(BITS)) & 1  # (256, 8)
    first, second = ((bits[:, part] << torch.arange(BITS // 2)).sum(-1) for part in (slice(0, 4), slice(4, 8)))
    return bits.float(), (first > second).long()


def accuracy(network: nn.Module, bits: Tensor, larger: Tensor) -> float:
    with torch.no_grad():
        return float((network(bits).argmax(-1) == larger).float().mean())


def train(network: nn.Module, bits: Tensor, larger: Tensor, table: Table, name: str) -> float:
    """Train, with a row for the gap after each stage; the accuracy as gates in the end."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for step in range(1, STEPS + 1):
        network.train()
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(bits), larger).backward()
        optimizer.step()
        if step in (STEPS // 10, STEPS):
            soft, hard = (accuracy(network.train(mode), bits, larger) for mode in (True, False))
            table.add_row(name, str(step), f"{soft:.1%}", f"{hard:.1%}", f"{soft - hard:+.1%}")
    return hard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    bits, larger = numbers()
    table = Table("training", "steps", "as trained", "as gates", "gap", title="which number of four bits is larger")
    found = {}
    for name, straight_through in (("expected gate", False), ("Gumbel straight-through", True)):
        torch.manual_seed(seed)
        network = GateNetwork(straight_through).eval()
        before = accuracy(network, bits, larger)
        assert not network(bits).requires_grad  # as gates it cannot learn
        found[name] = (before, train(network, bits, larger, table, name))

    console = Console()
    console.print(f"random gates are right {before:.1%} of the time, and have no gradient")
    console.print(table)
    gates = [NAMES[number] for layer in network.layers for number in layer.scores.argmax(-1)]
    common = sorted(set(gates), key=gates.count, reverse=True)[:5]
    console.print("most used gates:", ", ".join(f"{gate} {gates.count(gate)}" for gate in common))
    assert all(before < 0.75 and after > before + 0.2 for before, after in found.values())
    assert found["expected gate"][1] > 0.97


if __name__ == "__main__":
    main()
