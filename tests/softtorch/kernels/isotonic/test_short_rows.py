"""Short rows projected in Python's own numbers: against the rounds of torch operators, and whoever is asked."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as drawn
from torch import Tensor

import softtorch
from softtorch.kernels.isotonic import project, rounds, short_rows
from softtorch.kernels.isotonic.laws import LAWS
from tests.softtorch.cases import SOFT_MODES, draw, integers, weights_like

POWERS = [0, 1, 2, 3]


def falling(numbers: list[float]) -> Tensor:
    return torch.tensor(sorted(numbers, reverse=True), dtype=torch.float64)[None]


def in_rounds(z: Tensor, w: Tensor, power: int) -> Tensor:
    """The projection, (rows, n), by rounds alone."""
    pooled = rounds.pooled(LAWS[power], z, w)
    return w if pooled is None else LAWS[power].projected(z, w, *pooled)


# Few distinct numbers beside any, so that there are ties.
ENTRIES = drawn.one_of(drawn.integers(-3, 3).map(float), drawn.floats(-50, 50))
ROWS = drawn.integers(1, 12).flatmap(
    lambda n: drawn.tuples(drawn.lists(ENTRIES, min_size=n, max_size=n), drawn.lists(ENTRIES, min_size=n, max_size=n))
)


@settings(max_examples=150)
@given(row=ROWS, power=drawn.sampled_from(POWERS))
def test_it_equals_the_rounds(row: tuple[list[float], list[float]], power: int) -> None:
    z, w = map(falling, row)
    if power == 0:
        z, w = z / 5.0, w / 5.0  # e^10: a block outweighs what is behind it by fewer digits
    known = short_rows.projected(power, z, w, LAWS[power].alone(z, w))
    expected = in_rounds(z, w, power)
    if known is None:
        torch.testing.assert_close(expected, w, rtol=0, atol=0)
        return
    first, y = known
    assert (first <= torch.arange(z.shape[1])).all()
    # Entries reach 50: cubes of them and of their differences reach 1e6 and round at 1e-10, sums of twelve at more.
    torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-8)


@settings(max_examples=60)
@given(row=ROWS, power=drawn.sampled_from(POWERS))
def test_a_projection_keeps_order_and_sum_and_lies_within_its_vertex(
    row: tuple[list[float], list[float]], power: int
) -> None:
    z, w = map(falling, row)
    y = project.permutahedron(z, w, power)
    if power == 0:
        torch.testing.assert_close(y.logsumexp(-1), w.logsumexp(-1))
    else:
        torch.testing.assert_close(y.sum(-1), w.sum(-1), rtol=1e-9, atol=1e-8)  # as above
    assert (y.diff() <= 1e-8).all()
    assert (
        (y.cumsum(-1) if power else y.logcumsumexp(-1)) <= (w.cumsum(-1) if power else w.logcumsumexp(-1)) + 1e-7
    ).all()


def test_a_long_chain_is_one_block() -> None:
    z = torch.linspace(1.0, 0.0, 900, dtype=torch.float64)[None]
    w = torch.linspace(1.0, 0.0, 900, dtype=torch.float64)[None].clone()
    w[0, 0] = 1e6  # every entry joins the block of the first, one after the other
    for power in POWERS:
        known = short_rows.projected(power, z, w, LAWS[power].alone(z, w))
        assert known is not None
        assert (known[0] == 0).sum() > 100
        torch.testing.assert_close(known[1], in_rounds(z, w, power), rtol=1e-7, atol=1e-7)  # entries reach 1e6


def operators(mode: str) -> list[Callable[[Tensor], Tensor]]:
    options: dict[str, Any] = {"mode": mode, "method": "fast_soft_sort"}
    return [
        lambda x: softtorch.sort(x, softness=0.3, **options).values,
        lambda x: softtorch.rank(x, -1, softness=0.3, **options),
        lambda x: softtorch.rank(x, -1, softness=2.0, standardize=False, descending=False, **options),
        lambda x: softtorch.quantile(x, 0.3, dim=-1, standardize=False, **options),  # type: ignore[list-item,return-value]
    ]


def inputs() -> dict[str, Tensor]:
    wide = draw(3, 9)
    wide[0, 2], wide[1, 5:], wide[2, :] = math.inf, -math.inf, 0.5
    return {
        "normal": draw(3, 9),
        "ties": integers(3, 9),
        "infinities": wide,
        "one entry": draw(4, 1),
        "a single row": draw(7),
        "no rows": draw(0, 5),
        "float32": draw(3, 9, dtype=torch.float32),
        "bfloat16": draw(3, 9, dtype=torch.bfloat16),
    }


def value_and_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    value = function(x)
    finite = torch.where(value.isfinite(), value, 0.0)
    weights = torch.linspace(-1.0, 1.0, finite.numel(), dtype=finite.dtype).view(finite.shape)
    return [value.detach(), *torch.autograd.grad((finite * weights).sum(), x)]


@pytest.mark.parametrize("name", list(inputs()))
@pytest.mark.parametrize("mode", SOFT_MODES)
def test_operators_do_not_depend_on_who_finds_the_blocks(mode: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = inputs()[name]
    for function in operators(mode):
        got = value_and_gradient(function, x)
        with monkeypatch.context() as patched:
            patched.setattr(short_rows, "FEW", 0)
            expected = value_and_gradient(function, x)
        for here, there in zip(got, expected, strict=True):
            # All is computed in float64; roots of slopes near 0 take half of its digits.
            wide = here.dtype == torch.float64
            torch.testing.assert_close(here, there, **({"rtol": 1e-7, "atol": 1e-8} if wide else {}))


@pytest.mark.parametrize("power", POWERS)
def test_the_gradient_in_one_step_is_that_of_the_solution(power: int) -> None:
    z, w = (draw(4, 30, seed=seed).sort(dim=-1, descending=True).values for seed in (0, 1))
    z, w = z.requires_grad_(), w.requires_grad_()
    found = project._found(z.detach(), w.detach(), power)
    assert found is not None
    law = LAWS[power]
    y = law.solution(z, w, found.block, law.recovered(z.detach(), found.y))
    torch.testing.assert_close(y, found.y)
    grad = weights_like(y)
    for got, expected in zip(
        law.pulled_back(grad, w.detach(), found.block, found.y), torch.autograd.grad(y, (z, w), grad), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-8)  # slopes are roots of y


@pytest.mark.parametrize("few", [0, short_rows.FEW])
@pytest.mark.parametrize("power", POWERS)
def test_both_have_two_derivatives(power: int, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_rows, "FEW", few)
    z, w = (draw(2, 6, seed=seed).sort(dim=-1, descending=True).values for seed in (1, 2))
    z, w = (z / 0.7).requires_grad_(), w.requires_grad_()
    assert torch.autograd.gradcheck(lambda z, w: project.permutahedron(z, w, power), (z, w))
    loss = lambda z, w: project.permutahedron(z, w, power) * weights_like(z)  # noqa: E731
    assert torch.autograd.gradgradcheck(loss, (z, w), fast_mode=True)


@pytest.mark.parametrize("power", POWERS)
def test_rows_in_order_are_their_vertex_with_gradients_of_both(power: int) -> None:
    z = torch.tensor([[200.0, 100.0, 0.0]], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([[3.0, 2.0, -1.0]], dtype=torch.float64, requires_grad=True)
    y = project.permutahedron(z, w, power)
    torch.testing.assert_close(y, w, rtol=0, atol=0)
    by_z, by_w = torch.autograd.grad(y, (z, w), torch.ones_like(y))
    torch.testing.assert_close(by_z, torch.zeros_like(z), rtol=0, atol=0)
    torch.testing.assert_close(by_w, torch.ones_like(w), rtol=0, atol=0)


@pytest.mark.parametrize("power", POWERS)
def test_a_nan_stays_in_its_row(power: int) -> None:
    z = torch.tensor([[math.nan, 1.0, 0.9], [1.0, 0.5, 0.4], [3.0, 1.0, 0.0]], dtype=torch.float64)
    w = torch.tensor([[3.0, 2.0, 1.0]], dtype=torch.float64)
    y = project.permutahedron(z, w, power)
    assert y[0].isnan().any()
    torch.testing.assert_close(y[1:], project.permutahedron(z[1:], w, power))


def test_compiled_mapped_and_batched_gradients_are_those_of_plain_calls() -> None:
    x, options = draw(3, 8), {"mode": "c1", "method": "fast_soft_sort", "softness": 0.3}

    def function(x: Tensor) -> Tensor:
        return softtorch.rank(x, -1, **options)  # type: ignore[arg-type]

    plain = function(x)
    torch.testing.assert_close(torch.func.vmap(function)(x), plain)
    torch.testing.assert_close(torch.compile(function, backend="eager", fullgraph=True)(x), plain)
    jacobian = torch.autograd.functional.jacobian
    expected = jacobian(function, x)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(jacobian(function, x, vectorize=True), expected)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(torch.func.jacrev(function)(x), expected)
    torch.testing.assert_close(torch.func.jacfwd(function)(x), expected)
