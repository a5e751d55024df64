"""Guards: what has an infinite derivative somewhere keeps its value, bit for bit, and loses no finite gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
import softtorch
from softfx.rules import RULES
from tests.helpers import EXECUTOR, EXECUTORS, gradient, identical

GUARD = {"default": {"action": "guard", "families": ["unsafe"]}}
EDGES = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.25, -0.25, 2.0, -3.0, 1e-3, torch.inf, torch.nan])
UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "sqrt": torch.sqrt, "log": torch.log, "log2": torch.log2, "log10": torch.log10, "log1p": torch.log1p,
    "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal, "one over": lambda x: 1 / x, "asin": torch.asin,
    "acos": torch.acos, "acosh": torch.acosh, "atanh": torch.atanh, "root": lambda x: x**0.5,
    "inverse square": lambda x: x**-2, "a broken power": lambda x: x.pow(1.5), "ratio": lambda x: (x - 1) / x,
}  # fmt: skip


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", UNARY)
def test_a_guard_keeps_every_bit_and_every_finite_derivative(name: str, executor: str) -> None:
    function = UNARY[name]
    soft = softfx.soften(function, GUARD, example_inputs=(EDGES,), executor=executor)
    assert "guard" in [site.action for site in soft.report.sites]
    assert identical(soft(EDGES), function(EDGES))
    x = EDGES[EDGES.isfinite() & ~function(EDGES).isnan()]
    before, after = gradient(function, x), gradient(soft, x)
    assert torch.isfinite(after).all()
    # Where the original's own derivative is finite it is kept, bit for bit but for the order of a sum.
    assert torch.allclose(after[before.isfinite()], before[before.isfinite()], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", UNARY)
def test_a_branch_that_is_not_taken_spoils_no_gradient(name: str, executor: str) -> None:
    def selected(x: Tensor) -> Tensor:
        y = UNARY[name](x)
        return torch.where(y.isfinite(), y, 0.0)

    x = EDGES[:-2]
    assert gradient(selected, x).isnan().any()
    soft = softfx.soften(selected, GUARD, example_inputs=(x,), executor=executor)
    assert identical(soft(x), selected(x)) and gradient(soft, x).isfinite().all()


def test_division_is_that_of_softtorch() -> None:
    x = torch.tensor([1.0, 2.0, -3.0, 0.0]).requires_grad_()
    y = torch.tensor([2.0, 0.0, -4.0, 5.0]).requires_grad_()

    def ratio(x: Tensor, y: Tensor) -> Tensor:
        return torch.where(y != 0, x / y, 0.0)

    soft = softfx.soften(ratio, GUARD, example_inputs=(x, y))
    found, wanted = soft(x, y), softtorch.div(x, y)
    assert torch.equal(found, wanted)
    for part, other in zip(
        torch.autograd.grad(found.sum(), (x, y)), torch.autograd.grad(wanted.sum(), (x, y)), strict=True
    ):
        assert torch.equal(part, other)


def test_division_in_place_and_of_other_shapes_is_guarded() -> None:
    def normalized(x: Tensor) -> Tensor:
        y = x * 1
        y /= x.sum(-1, keepdim=True)
        return torch.where(y.isfinite(), y, 0.0)

    x = torch.tensor([[1.0, -1.0], [1.0, 2.0]])
    for executor in EXECUTORS:
        soft = softfx.soften(normalized, GUARD, example_inputs=(x,), executor=executor)
        assert identical(soft(x), normalized(x)) and gradient(soft, x).isfinite().all()
        assert torch.allclose(gradient(soft, x)[1], gradient(normalized, x[1:])[0])


@pytest.mark.parametrize("spelling", ["method", "torch.norm", "linalg", "vector_norm"])
def test_a_norm_has_a_finite_second_derivative_at_zero(spelling: str) -> None:
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "method": lambda x: x.norm(dim=-1), "torch.norm": lambda x: torch.norm(x, p=2, dim=-1),
        "linalg": lambda x: torch.linalg.norm(x, dim=-1), "vector_norm": lambda x: torch.linalg.vector_norm(x, dim=-1),
    }  # fmt: skip
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    soft = softfx.soften(ways[spelling], GUARD, example_inputs=(x,))
    assert torch.equal(soft(x), ways[spelling](x))
    leaf = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(soft(leaf).sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), leaf)
    assert torch.allclose(first, torch.tensor([[0.0, 0.0], [0.6, 0.8]])) and second.isfinite().all()
    hand = softtorch.norm(leaf, dim=-1)
    assert torch.allclose(torch.autograd.grad(hand.sum(), leaf)[0], first)


@EXECUTOR
@pytest.mark.parametrize("function", [torch.sqrt, torch.log, torch.asin, torch.acos])
def test_what_is_nan_beyond_the_edge_of_a_domain_is_so_of_a_soft_value(
    function: Callable[[Tensor], Tensor], executor: str
) -> None:
    def program(x: Tensor) -> Tensor:
        return function(x.clamp(-3, 3))

    x = torch.tensor([0.5, 1.0, 2.0, -2.0])
    soft = softfx.soften(program, "smooth", example_inputs=(x,), executor=executor, softness=1e-6)
    assert torch.allclose(soft(x), program(x), atol=1e-4, equal_nan=True)
    assert gradient(lambda x: torch.where(soft(x).isnan(), 0.0, soft(x)), x).isfinite().all()


def test_norms_of_matrices_are_left_alone() -> None:
    x = torch.randn(3, 3)
    soft = softfx.soften(lambda x: torch.linalg.norm(x, 2, (-2, -1)), GUARD, example_inputs=(x,))
    assert len(soft.report.sites) == 0 and torch.equal(soft(x), torch.linalg.norm(x, 2, (-2, -1)))


def test_guards_compose_with_transforms() -> None:
    def safe(x: Tensor) -> Tensor:
        return torch.where(x > 0, x.sqrt() / x + x**-0.5 + x * x.log(), 0.0)

    x = torch.tensor([0.0, 1.0, 4.0])
    soft = softfx.soften(safe, GUARD, example_inputs=(x,))
    reference = gradient(soft, x)
    assert reference.isfinite().all()
    assert torch.equal(torch.func.grad(lambda x: soft(x).sum())(x), reference)
    assert torch.equal(torch.func.vmap(torch.func.grad(soft))(x), reference)
    compiled = torch.compile(soft, fullgraph=True, backend="aot_eager")
    assert torch.allclose(gradient(compiled, x), reference)


def test_a_division_by_a_number_or_by_integers_is_no_site() -> None:
    report = softfx.check(lambda x: x / 2 + x / torch.tensor(3) + x.div(4.0), example_inputs=(torch.ones(2),))
    assert len(report.sites) == 0


def test_a_normalization_by_the_machine_epsilon_is_no_site() -> None:
    report = softfx.check(torch.nn.RMSNorm(3), example_inputs=(torch.ones(2, 3),))
    assert len(report.sites) == 0
    bare = softfx.check(torch.nn.RMSNorm(3, eps=0.0), example_inputs=(torch.ones(2, 3),))
    assert [site.op for site in bare.sites] == ["rms_norm"]


def test_the_place_of_an_infinite_derivative_is_told_in_a_sentence() -> None:
    whys = {rule.name: rule.why for rule in RULES.values() if rule.family == "unsafe"}
    assert whys["square"].startswith("Its derivative is infinite where it overflows: ")
    assert whys["norm"].startswith("Its derivative is infinite at the zero vector, from the second derivative on: ")
    assert not [name for name, why in whys.items() if " at where " in why]


SINGULAR = torch.full((3, 3), 1e-22)
TINY = torch.full((3,), 1e-30)
BRANCHES: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "inv_ex": (lambda x: torch.linalg.inv_ex(x)[0], SINGULAR),
    "solve_ex": (lambda x: torch.linalg.solve_ex(x, torch.eye(3))[0], SINGULAR),
    "tensorinv": (lambda x: torch.linalg.tensorinv(x, 1), torch.eye(3) * 1e-30),
    "tensorsolve": (lambda x: torch.linalg.tensorsolve(x, torch.ones(3)), torch.eye(3) * 1e-30),
    "triangular_solve": (lambda x: torch.triangular_solve(torch.eye(3), x)[0], torch.eye(3) * 1e-30),
    "cholesky_ex": (lambda x: torch.linalg.cholesky_ex(x)[0], SINGULAR),
    "lu_factor_ex": (lambda x: torch.linalg.lu_factor_ex(x)[0], SINGULAR),
    "large cubes": (lambda x: torch.linalg.vector_norm(x, 3), 1e55 * TINY),
    "targets": (lambda x: torch.nn.functional.kl_div(x, x, log_target=True, reduction="none"), 1e32 * TINY),
    "ratio of products": (lambda x: torch.addcdiv(x, x, x), TINY),
}


@pytest.mark.filterwarnings("ignore:torch.triangular_solve is deprecated")
@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_that_is_not_taken_has_no_infinite_share(name: str) -> None:
    """Beside a softened condition what is not chosen has a small weight, by which an infinite derivative stays one."""
    function, x = BRANCHES[name]

    def program(x: Tensor, choice: Tensor) -> Tensor:
        return torch.where(choice > 0, 0.0, function(x)).sum()

    inputs = x.clone().requires_grad_(), torch.tensor(0.5, requires_grad=True)
    assert not gradient(lambda x: function(x).sum(), x).isfinite().all()
    soft = softfx.soften(program, example_inputs=inputs)
    assert all(part.isfinite().all() for part in torch.autograd.grad(soft(*inputs), inputs))
