"""Costs that the contracts state, beside elements counted: of all that operators read and write, and of memory.

Counted at two sizes, value and gradient together, and compared with the growth that the contract states. Nothing is
timed. To add a method: its contract, and a line in SIZES if its cost at the usual sizes is more than seconds.
"""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import softtorch
from softtorch.kernels import barrier, transport
from softtorch.kernels.isotonic import project
from softtorch.methods import METHODS
from tests.softtorch.cases import draw

PLACES = 4
# In place of 1024 and 4096: what is cubic, and all rows of networks.
SIZES = {
    "ot": (64, 256),
    "smooth_sort": (64, 256),
    ("sorting_network", "ranks"): (64, 256),
}
# Opaque operators of this package, whose own operators are counted instead.
OPAQUE: dict[str, Callable[..., Any]] = {
    "softtorch::isotonic_blocks": project._blocks._init_fn,
    "softtorch::transport_potentials": transport._potentials._init_fn,
    "softtorch::barrier_solution": barrier._solution._init_fn,
}
# How far measured growth may be from stated growth. Above: parts that are still growing, as the depth of a sort. Below:
# parts of lower order, which are still large at these sizes; memory has buffers of a fixed size, too.
WORK, MEMORY = (0.6, 1.25), (0.3, 1.25)


class Count(TorchDispatchMode):
    """Elements that operators work on, solves of linear equations, and the largest memory at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.work, self.solves, self.memory = 0, 0, 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split(".")[0]
        if name in OPAQUE:
            with self:
                return OPAQUE[name](*args, **(kwargs or {}))
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.work += elements(name, args, out)
        self.solves += "solve" in name
        for result in tree_leaves(out):
            if isinstance(result, Tensor):
                self._hold(result.untyped_storage())
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.memory = max(self.memory, sum(self._sizes.values()))
            weakref.finalize(storage, self._sizes.pop, key, 0)


def elements(name: str, args: tuple[Any, ...], out: Any) -> int:
    """How many elements an operator reads or writes; products and solves of matrices count every multiplication."""
    kind = name.removeprefix("aten::")
    if kind in ("mm", "bmm", "mv"):
        return math.prod(args[0].shape) * (args[1].shape[-1] if kind != "mv" else 1)
    if kind in ("index", "index_select", "gather"):
        return int(out.numel())
    if kind in ("index_add_", "index_copy_", "scatter_add_"):
        return int(args[-1].numel())
    most = max((leaf.numel() for leaf in tree_leaves((args, out)) if isinstance(leaf, Tensor)), default=0)
    cubic = "linalg" in kind or "cholesky" in kind or "triangular" in kind
    return int(most * args[0].shape[-1]) if cubic else int(most)


def indices(x: Tensor, **options: Any) -> Tensor:
    """Soft indices of some places: the neighbours of two quantiles."""
    return softtorch.argquantile(x, torch.tensor([0.2, 0.8], dtype=x.dtype), **options)


RESULTS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "values": ("has_values", lambda x, **options: softtorch.sort(x, return_indices=False, **options).values),
    "ranks": ("has_rank", lambda x, **options: softtorch.rank(x, -1, **options)),
    "indices": ("has_rows", indices),
    "masks": ("has_mask", lambda x, **options: softtorch.topk_mask(x, PLACES, **options)),
}


def count(method: str, mode: str, result: str, n: int) -> Count:
    x = draw(n, dtype=torch.float32).requires_grad_()
    with Count() as counted:
        found = RESULTS[result][1](x, method=method, mode=mode)
        torch.autograd.grad(found.square().sum(), x)
    return counted


def stated(growth: str, n: int, k: int) -> float:
    """A growth such as "n log^2 n + k^3" as a number."""
    total = 0.0
    for term in growth.removesuffix(" a step").split(" + "):
        factors = re.findall(r"(log(?:\^(\d))? )?([nk])(?:\^([\d.]+))?", term)
        assert re.sub(r"[nk\d^. ]|log", "", term) == "", term
        value = 1.0
        for log, log_power, name, power in factors:
            base = float({"n": n, "k": k}[name])
            value *= math.log2(base) ** int(log_power or 1) if log else base ** float(power or 1)
        total += value
    return total


def expected(cost: Any, result: str, mode: str, n: int) -> float:
    growth, k = cost.growth(result, mode), n if result in ("values", "ranks") else PLACES
    if growth.endswith(" times"):
        return stated(growth.removesuffix(" times"), n, k) * stated(cost.usual, n, k)
    return stated(growth, n, k)


@pytest.mark.parametrize(
    ("method", "mode", "result"),
    [
        (name, mode, result)
        for name, method in METHODS.items()
        for mode in method.modes
        for result, (flag, _) in RESULTS.items()
        if getattr(method, flag)
    ],
)
def test_costs_grow_as_the_contract_says(method: str, mode: str, result: str) -> None:
    contract = METHODS[method].contract
    sizes = SIZES.get(method) or SIZES.get((method, result)) or (1024, 4096)
    small, large = (count(method, mode, result, n) for n in sizes)
    work, memory = large.work / small.work, large.memory / small.memory
    if contract.time.growth(result, mode).endswith("a step"):
        work *= small.solves / large.solves
    for bounds, measured, cost in ((WORK, work, contract.time), (MEMORY, memory, contract.memory)):
        claimed = expected(cost, result, mode, sizes[1]) / expected(cost, result, mode, sizes[0])
        assert bounds[0] <= measured / claimed <= bounds[1], f"grows by {measured:.2f}, stated {claimed:.2f}"


def test_the_counter_sees_what_a_wrong_claim_would_be() -> None:
    """All pairs are counted as quadratic, in work and in memory."""
    counts = []
    for n in (256, 1024):
        x = draw(n, dtype=torch.float32)
        with Count() as counted:
            (x.unsqueeze(0) - x.unsqueeze(1)).abs().sum()
        counts.append(counted)
    assert counts[1].work / counts[0].work == pytest.approx(16, rel=0.01)
    assert counts[1].memory / counts[0].memory == pytest.approx(16, rel=0.01)


def test_growths_are_read_as_they_are_meant() -> None:
    assert stated("n log^2 n", 1024, 3) == 1024 * 100
    assert stated("n k^2 + k^3 a step", 10, 3) == 90 + 27
    assert stated("n^1.5", 100, 1) == pytest.approx(1000)
