"""`python -m benchmarks.compiler`: what softfx costs, beside the original and beside softtorch written by hand.

Transformer blocks with masked top-k attention: topk, a comparison and where in each. The versions take turns within a
round; a ratio is the median over rounds of one step (forward and backward) to the other's in the same round.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import softfx
import softtorch

KEPT, SOFTNESS = 8, 0.1
BOUNDS = {"check": 10.0, "keep": 1.05, "graph": 1.05, "eager": 1.05}


class Block(nn.Module):
    """Attention to the few keys that score highest, and a feed-forward part."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm(x)).chunk(3, -1)
        scores = query @ key.mT / key.shape[-1] ** 0.5
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -1e9)
        x = x + self.out(self.select(scores).softmax(-1) @ value)
        return x + self.down(torch.relu(self.up(self.norm2(x))))

    def select(self, scores: Tensor) -> Tensor:
        least = scores.topk(KEPT, -1)[0][..., -1:]
        return torch.where(scores >= least, scores, -1e9)


class ByHand(Block):
    """The same, made straight-through by its author."""

    def select(self, scores: Tensor) -> Tensor:
        soft = softtorch.topk(scores, KEPT, dim=-1, softness=SOFTNESS)[0]
        least = softtorch.straight_through(scores.topk(KEPT, -1)[0], soft)[..., -1:]
        likely = softtorch.greater_equal(scores, least, softness=SOFTNESS)
        low = torch.tensor(-1e9)
        soft = softtorch.where(likely, scores, low)
        return softtorch.straight_through(torch.where(scores >= least, scores, -1e9), soft)


def stacked(kind: type[Block], depth: int, width: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(kind(width) for _ in range(depth)))


def step(model: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Seconds of a forward and a backward pass."""
    start = time.perf_counter()
    model(x).square().mean().backward()  # type: ignore[no-untyped-call]  # untyped in torch
    return time.perf_counter() - start


class Empty(TorchFunctionMode):
    """Enters Python for every torch call, and does nothing there: what no executor under a mode can be without."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def under_an_empty_mode(model: nn.Module) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        with Empty():
            result: Tensor = model(x)
        return result

    return run


def ratios(depth: int, width: int, rounds: int) -> dict[str, tuple[str, float, float]]:
    """For each version what it is compared with, the median ratio, and the median seconds of its step."""
    x = torch.randn(2, 32, width)
    original, hand = (stacked(kind, depth, width) for kind in (Block, ByHand))
    versions: dict[str, Callable[[Tensor], Tensor]] = {
        "original": original,
        "empty mode": under_an_empty_mode(original),
        "by hand": hand,
        "keep": softfx.soften(original, "keep", example_inputs=(x,)),
        "graph": softfx.soften(original, example_inputs=(x,), executor="graph"),
        "eager": softfx.soften(original, example_inputs=(x,), executor="eager"),
    }
    for model in versions.values():
        step(model, x)
    seconds: dict[str, list[float]] = {name: [] for name in versions}
    for _ in track(range(rounds), "steps"):
        for name, model in versions.items():
            seconds[name].append(step(model, x))
    found = {}
    pairs = {"empty mode": "original", "keep": "original", "graph": "by hand", "eager": "by hand"}
    for name, other in pairs.items():
        each = [mine / theirs for mine, theirs in zip(seconds[name], seconds[other], strict=True)]
        found[name] = (other, statistics.median(each), statistics.median(seconds[name]))
    return found


def checked(depth: int, width: int) -> float:
    """Seconds of `softfx.check` on a deep model, and that it finds what is there."""
    model, x = stacked(Block, depth, width), torch.randn(1, 16, width)
    start = time.perf_counter()
    report = softfx.check(model, example_inputs=(x,))
    seconds = time.perf_counter() - start
    assert report.counts["straight_through"] == 2 * depth, report.counts
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compiler", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--width", type=int, default=128, help="of the blocks; at 16 it is Python that is timed")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    table = Table("case", "measured", "target")
    seconds = checked(50, 128)
    table.add_row("check of a model of 50 blocks", f"{seconds:.1f} s", f"{BOUNDS['check']:.0f} s")
    names = {"keep": "a policy that keeps all", "graph": "softened, graph", "eager": "softened, eager"}
    for name, (other, ratio, each) in ratios(6, arguments.width, arguments.rounds).items():
        measured = f"{ratio:.3f} ({1000 * each:.1f} ms)"
        table.add_row(f"{names.get(name, name)} / {other}", measured, str(BOUNDS.get(name, "")))
    Console().print(table)


if __name__ == "__main__":
    main()
