"""Sorting supervision by other libraries, by their own interfaces: run as a file, in the environment that has them.

One job as JSON a line in, one end a line out; the first line out names the rows that this environment can serve. In it
`softtorch` is SoftTorch, which has the import name of softfx's operator library.
"""

import importlib.metadata
import importlib.util
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from orders import Job, Loss, places, ranks, reached
from torch import Tensor

Permutation = Callable[[Tensor], Tensor]


def by_diffsort(layout: str) -> Callable[[int, float], Loss]:
    """diffsort's softness is 1 over its steepness; its permutation has the places in its columns."""

    def made(count: int, softness: float) -> Loss:
        from diffsort import DiffSortNet

        sorter = DiffSortNet(layout, count, steepness=1 / softness, device="cpu")
        return of_permutation(lambda scores: sorter(scores)[1].mT)

    return made


def by_softtorch(method: str) -> Callable[[int, float], Loss]:
    def made(_: int, softness: float) -> Loss:
        import softtorch

        return of_permutation(lambda scores: softtorch.argsort(scores, softness=softness, method=method))

    return made


def by_torchsort(_: int, softness: float) -> Loss:
    import torchsort

    def loss(scores: Tensor, numbers: Tensor) -> Tensor:
        soft = torchsort.soft_rank(scores, regularization_strength=softness) - 1
        return (soft - ranks(numbers)).square().sum(-1).mean()

    return loss


def of_permutation(permutation: Permutation) -> Loss:
    """`order_loss`, rewritten around a function that gives a permutation."""
    return lambda scores, numbers: (permutation(scores) - places(numbers)).square().sum((-1, -2)).mean()


ROWS: dict[str, tuple[str, Callable[[int, float], Loss]]] = {  # the package, and the loss for n and a softness
    "diffsort's own, odd-even": ("diffsort", by_diffsort("odd_even")),
    "diffsort's own, bitonic": ("diffsort", by_diffsort("bitonic")),
    "SoftTorch's own, softsort": ("softtorch", by_softtorch("softsort")),
    "SoftTorch's own, neuralsort": ("softtorch", by_softtorch("neuralsort")),
    "torchsort's own, ranks": ("torchsort", by_torchsort),
}


def is_installed(package: str) -> bool:
    """Whether the name is that distribution's, and no other's."""
    spec = importlib.util.find_spec(package)
    try:
        own = importlib.metadata.distribution(package).locate_file(f"{package}/__init__.py")
    except importlib.metadata.PackageNotFoundError:
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin) == Path(str(own))


def fits(row: str, count: int) -> bool:
    """A bitonic network of diffsort has a power of two of inputs."""
    return "bitonic" not in row or count & (count - 1) == 0


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(json.dumps([row for row, (package, _) in ROWS.items() if is_installed(package)]), flush=True)
    for line in sys.stdin:
        job = Job(**json.loads(line))
        assert job.softness is not None
        answer = None
        if fits(job.row, job.count):
            answer = reached(ROWS[job.row][1](job.count, job.softness), job, job.softness).to_dict()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
