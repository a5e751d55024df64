"""Where numbers are not looked at, nothing is copied to the host, and results are those of where they are."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import softtorch
from softtorch.kernels import barrier, transport
from softtorch.kernels.isotonic import project
from softtorch.kernels.numeric import host
from softtorch.kernels.sorted_line import compact
from softtorch.kernels.transport import Columns
from tests.softtorch.cases import draw

# What makes Python wait for a device: numbers read back, and sizes that depend on them.
READING = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "repeat_interleave",
    "unique",
    "item",
    "equal",
    "is_nonzero",
)
OPAQUE = (project._blocks, transport._potentials, barrier._solution, compact._reaches)
MODES = ["smooth", "c0", "c1", "c2"]
METHODS = ["softsort", "neuralsort", "fast_soft_sort", "sorting_network", "ot", "lapsum", "smooth_sort"]
SMOOTH_ONLY = ("lapsum", "smooth_sort")


class Watching(TorchDispatchMode):
    """Lists the operators run that read, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name.split("::")[-1]
        masks = name.startswith("index") and any(
            isinstance(x, Tensor) and x.dtype == torch.bool for x in (args[1] if isinstance(args[1], list) else ())
        )
        if name in READING or masks:
            self.read.append(name)
        for operator in OPAQUE:
            if function is operator._opoverload:
                with self:  # into the operator, which is one step to the dispatcher
                    return operator._init_fn(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def value_and_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    value = function(x)
    return [value.detach(), *torch.autograd.grad((value * torch.linspace(-1, 1, value.shape[-1])).sum(), x)]


def both_ways(function: Callable[[Tensor], Tensor], x: Tensor, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Compares the results with and without looking; what was read without, forward and backward."""
    seen = value_and_gradient(function, x)
    with monkeypatch.context() as unseeing, Watching() as watching:
        unseeing.setattr(host, "seen", lambda x: False)
        unseen = value_and_gradient(function, x)
    for there, here in zip(unseen, seen, strict=True):
        # Two orders of summation, in float64; Newton's method ends a step earlier or later.
        torch.testing.assert_close(there, here, rtol=1e-7, atol=1e-8)
    return watching.read


def test_what_reads_is_noticed() -> None:
    with Watching() as watching:
        softtorch.rank(draw(2, 2000), dim=-1, method="fast_soft_sort")  # long enough for rounds of operators
    assert {"_local_scalar_dense", "nonzero"} <= set(watching.read)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", METHODS)
def test_methods_read_nothing(method: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if method in SMOOTH_ONLY and mode != "smooth":
        pytest.skip("the method has this mode alone")
    options: dict[str, Any] = {"method": method, "mode": mode, "standardize": method != "smooth_sort"}

    def sort(x: Tensor) -> Tensor:
        return softtorch.sort(x, dim=-1, return_indices=False, **options).values  # type: ignore[return-value]

    def rank(x: Tensor) -> Tensor:
        return softtorch.rank(x, dim=-1, **options)

    for n in (40, 600) if method in ("softsort", "neuralsort", "fast_soft_sort", "lapsum") else (20,):
        for function in (sort, rank):
            assert both_ways(function, draw(2, n), monkeypatch) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["relu", "abs", "sign", "round", "clamp", "eq", "isclose", "greater", "heaviside"])
def test_elementwise_operators_read_nothing(name: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    further = {"clamp": (-0.5, 0.5), "eq": (0.1,), "isclose": (0.1,), "greater": (0.1,)}.get(name, ())

    def function(x: Tensor) -> Tensor:
        result: Tensor = getattr(softtorch, name)(x, *further, mode=mode)
        return result

    assert both_ways(function, draw(2, 20_000), monkeypatch) == []  # long enough for passes by hand


@pytest.mark.parametrize("power", [0, 1, 2, 3])
def test_blocks_found_unseen_are_those_of_pooling(power: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in (1, 2, 3, 5, 8, 17, 300):
        for softness in (1e-4, 1e-2, 1.0, 10.0):
            z, w = (draw(3, n, seed=seed).sort(dim=-1, descending=True).values for seed in (0, 1))
            z, w = z / softness, w * torch.tensor([[1.0], [1.0], [1e3]])
            z[1], w[1] = z[1].round(), w[1].round()  # ties
            pooled = project.permutahedron(z, w, power)
            with monkeypatch.context() as unseeing:
                unseeing.setattr(host, "seen", lambda x: False)
                merged = project.permutahedron(z, w, power)
            # entries reach 3e4: links of them round at 1e-12 of the largest
            torch.testing.assert_close(merged, pooled, rtol=0, atol=1e-9 * float(pooled.abs().max() + 1.0))


@pytest.mark.parametrize("power", [0, 1, 2, 3])
@pytest.mark.parametrize("softness", [1e-4, 1e-2, 1.0, 10.0])
def test_unseen_steps_reach_the_marginals(power: int, softness: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "seen", lambda x: False)
    mass = torch.cat([torch.full((1,), 29.0), torch.ones(11)]).double()
    at = Columns(torch.linspace(0, 1, 12, dtype=torch.float64), mass)
    for x in (torch.sigmoid(draw(3, 40)), 30 * draw(3, 40)):
        plan = transport.plan(x, torch.ones_like(x), at, torch.tensor([softness], dtype=torch.float64), power)
        # costs of 1e3 over softness 1e-4 round at 1e-9
        torch.testing.assert_close(plan.sum(dim=-2), mass.expand(3, 12), rtol=0, atol=1e-8)
