"""`python -m benchmarks.passes`: what single operators of torch cost, of which everything elementwise is made.

One thread, float32. README.md reasons with these numbers; nothing of ours is measured here.
"""

import time
from collections.abc import Callable
from functools import partial

import torch
from rich.console import Console
from rich.table import Table

SIZE, BLOCK, FRESH, SMALL = 1_000_000, 1 << 19, 1 << 24, 100
PAGE = 4096


def seconds(run: Callable[[], object], rounds: int = 30) -> float:
    """The shortest time of a call."""
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def passes() -> dict[str, Callable[[], object]]:
    """Single passes over BLOCK entries, into memory that is there."""
    x, other = torch.randn(BLOCK), torch.rand(BLOCK)
    out, mask = torch.empty(BLOCK), torch.rand(BLOCK) > 0.5
    aten = torch.ops.aten
    found: dict[str, Callable[[], object]] = {
        "mul by a number": lambda: torch.mul(x, 2.0, out=out),
        "add": lambda: torch.add(x, other, out=out),
        "where, random mask": lambda: torch.where(mask, x, other, out=out),
        "softplus": lambda: aten.softplus.out(x, 1.0, 40.0, out=out),
        "softplus, backward": lambda: aten.softplus_backward.grad_input(x, other, 1.0, 40.0, grad_input=out),
        "gelu": lambda: aten.gelu.out(x, out=out),
        "gelu, backward": lambda: aten.gelu_backward.grad_input(x, other, grad_input=out),
    }
    for name in ("sigmoid", "tanh", "exp", "exp2", "log1p"):
        found[name] = partial(getattr(torch, name), other, out=out)
    return found


def page() -> float:
    """Seconds to touch a page of memory for the first time, beyond those to write it."""
    kept = torch.empty(FRESH)
    fresh = seconds(lambda: torch.empty(FRESH).zero_(), 5)  # too large for the allocator to keep
    return (fresh - seconds(kept.zero_, 5)) / (FRESH * kept.element_size() / PAGE)


def main() -> None:
    torch.set_num_threads(1)
    table = Table("one thread", "cost")
    for name, run in passes().items():
        table.add_row(f"{name}, 10^6 entries", f"{1e3 * seconds(run) * SIZE / BLOCK:.2f} ms")
    table.add_row("a page of memory touched for the first time", f"{1e6 * page():.1f} us")
    x = torch.randn(SMALL, requires_grad=True)
    ones = torch.ones(SMALL)
    for name, run in {
        "x * 2, 100 entries": lambda: x * 2.0,
        "the same and its backward pass": lambda: torch.autograd.grad(x * 2.0, x, ones),
    }.items():
        table.add_row(name, f"{1e6 * seconds(run, 2000):.0f} us")
    Console().print(table)


if __name__ == "__main__":
    main()
