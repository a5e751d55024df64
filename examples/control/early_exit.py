"""A network with early exits, the thresholds at which it stops tuned through `if`.

Each block has a head; where a head is sure enough, its answer is taken and the blocks behind it are not run. What is
weighed is the share of wrong answers beside the blocks that were run: both change only where an input changes its exit.
"""

import torch
from torch import Tensor, nn
from tuning import Task, compare

BLOCKS, CLASSES, SCENES = 3, 4, 24


class Exits(nn.Module):
    """Blocks in a row, each with a head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(2 if i == 0 else 16, 16) for i in range(BLOCKS))
        self.heads = nn.ModuleList(nn.Linear(16, CLASSES) for _ in range(BLOCKS))

    def logits(self, x: Tensor) -> list[Tensor]:
        """The answers of all heads (..., 2) -> [(..., c)]."""
        found = []
        for block, head in zip(self.blocks, self.heads, strict=True):
            x = torch.tanh(block(x))
            found.append(head(x))
        return found

    def forward(self, x: Tensor, thresholds: Tensor) -> tuple[Tensor, int]:
        """The answer for one input and how many blocks were run (2,), (exits - 1,) -> (c,), int."""
        for number, (block, head) in enumerate(zip(self.blocks, self.heads, strict=True)):
            x = torch.tanh(block(x))
            answer = head(x).softmax(-1)
            if number == BLOCKS - 1 or answer.max() > thresholds[number]:
                break
        return answer, number + 1


def scenes(count: int) -> tuple[Tensor, Tensor]:
    """Points of the plane in two spirals and two clouds, and which they belong to (n, 2), (n,)."""
    kinds = torch.randint(CLASSES, (count,))
    turn = 4.0 * torch.rand(count)
    spiral = torch.stack([torch.cos(turn + kinds * torch.pi), torch.sin(turn + kinds * torch.pi)], -1)
    cloud = torch.stack([2.0 * kinds - 5.0, torch.full((count,), 2.0)], -1)
    points = torch.where((kinds < 2)[:, None], spiral * (0.3 + 0.3 * turn[:, None]), cloud)
    return points + 0.15 * torch.randn(count, 2), kinds


def trained() -> Exits:
    """The network, each head trained to answer."""
    network = Exits()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    points, kinds = scenes(400)
    for _ in range(60):
        optimizer.zero_grad()
        sum(nn.functional.cross_entropy(logits, kinds) for logits in network.logits(points)).backward()
        optimizer.step()
    return network.requires_grad_(False)


torch.manual_seed(0)
NETWORK = trained()
POINTS, KINDS = scenes(SCENES)


def served(thresholds: Tensor) -> Tensor:
    """Loss and work over all inputs: the sureness at which each head but the last stops (exits - 1,) -> ()."""
    cost = torch.zeros(())
    for point, kind in zip(POINTS, KINDS, strict=True):
        answer, blocks = NETWORK(point, thresholds)
        cost = cost - answer[kind] + 0.08 * blocks
    return cost / SCENES


TASK = Task(served, low=(0.2, 0.2), high=(1.0, 1.0), start=(0.98, 0.98), grid=33)

if __name__ == "__main__":
    compare(TASK, within=0.10, doc=__doc__)
