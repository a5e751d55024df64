"""What rows must not depend on: their distance from 0, their scale when standardized, their batch, and vmap."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import softtorch
from softtorch.methods import METHODS
from tests.softtorch.cases import METHOD_MODES, draw, weights_like

Operator = Callable[..., Tensor]
VALUES: dict[str, Operator] = {
    "sort": lambda x, **options: softtorch.sort(x, -1, return_indices=False, **options).values,
    "min": lambda x, **options: softtorch.min(x, -1, **options).values,
    "quantile": lambda x, **options: softtorch.quantile(x, 0.3, -1, **options),
}
OTHERS: dict[str, tuple[str, Operator]] = {
    "argsort": ("has_rows", lambda x, **options: softtorch.argsort(x, -1, **options)),
    "rank": ("has_rank", lambda x, **options: softtorch.rank(x, -1, **options)),
    "topk_mask": ("has_mask", lambda x, **options: softtorch.topk_mask(x, 2, -1, **options)),
}
CASES = [
    (name, method, mode, standardize)
    for method, mode in METHOD_MODES
    for name in (*VALUES, *OTHERS)
    for standardize in (True, False)
    if getattr(METHODS[method], "has_values" if name in VALUES else OTHERS[name][0])
    if not (method == "smooth_sort" and standardize)
]


def operator(name: str, method: str, mode: str, standardize: bool) -> Callable[..., Tensor]:
    function = VALUES[name] if name in VALUES else OTHERS[name][1]
    options: dict[str, Any] = {"method": method, "mode": mode, "standardize": standardize, "softness": 0.3}
    return lambda x, **more: function(x, **{**options, **more})


def entries() -> Tensor:
    """Rows with a tie, of numbers with few digits, so that sums with large ones are exact."""
    x = draw(3, 6)
    x[1, 2] = x[1, 4]
    return (x * 2**20).round() / 2**20


def both(call: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """A result and the gradient of a weighted sum of it."""
    x = x.clone().requires_grad_()
    result = call(x)
    return result.detach(), torch.autograd.grad((result * weights_like(result)).sum(), x)[0]


@pytest.mark.parametrize(("name", "method", "mode", "standardize"), CASES)
@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_rows_do_not_depend_on_their_distance_from_0(
    name: str, method: str, mode: str, standardize: bool, offset: float
) -> None:
    if name in VALUES and method == "fast_soft_sort" and mode in ("c1", "c2") and not standardize:
        pytest.skip("defined by roots of the entries themselves")
    call, x = operator(name, method, mode, standardize), entries()
    (near, slope), (far, far_slope) = both(call, x), both(call, x + offset)
    far = far - offset if name in VALUES else far
    # An offset of 1e8 leaves 1.5e-8 of the entries, and so of the values; nothing else is rounded more.
    torch.testing.assert_close(far, near, rtol=0, atol=4e-16 * offset + 1e-11)
    torch.testing.assert_close(far_slope, slope, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("name", "method", "mode", "standardize"), CASES)
def test_rows_do_not_depend_on_their_batch_or_on_vmap(name: str, method: str, mode: str, standardize: bool) -> None:
    call, x = operator(name, method, mode, standardize), entries()
    whole, slope = both(call, x)
    torch.testing.assert_close(torch.stack([call(row) for row in x]), whole, rtol=0, atol=1e-11)
    torch.testing.assert_close(torch.func.vmap(call)(x), whole, rtol=0, atol=1e-11)
    weights = weights_like(whole)
    mapped = torch.func.vmap(torch.func.grad(lambda row, w: (call(row) * w).sum()))(x, weights)
    torch.testing.assert_close(mapped, slope, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "method", "mode"), [case[:3] for case in CASES if case[3]])
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
def test_standardized_rows_do_not_depend_on_their_scale(name: str, method: str, mode: str, scale: float) -> None:
    call, x = operator(name, method, mode, True), entries()
    (plain, slope), (scaled, scaled_slope) = both(call, x), both(call, x * scale)
    if name in VALUES:
        scaled = scaled / scale
    else:
        scaled_slope = scaled_slope * scale
    # The floor is 1e-6 of a variance of 1, and of smaller ones; beside larger ones it vanishes.
    torch.testing.assert_close(scaled, plain, rtol=0, atol=1e-5)
    torch.testing.assert_close(scaled_slope, slope, rtol=0, atol=1e-4 * float(slope.abs().max()) + 1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("method", "mode"), METHOD_MODES)
def test_equal_entries_have_finite_results_and_gradients(method: str, mode: str, dtype: torch.dtype) -> None:
    for name in (*VALUES, *OTHERS):
        if (name, method, mode, False) in CASES:
            for softness in (1e-3, 0.1):
                call = operator(name, method, mode, method != "smooth_sort")
                result, slope = both(lambda x, s=softness, f=call: f(x, softness=s), torch.ones(2, 5, dtype=dtype))
                assert result.isfinite().all()
                assert slope.isfinite().all()


@pytest.mark.parametrize("method", ["softsort", "neuralsort", "lapsum", "sorting_network"])
def test_a_vanishing_softness_keeps_the_order(method: str) -> None:
    x = torch.tensor([[2.0, -1.0, 5.0, 0.5], [1.0, 3.0, -torch.inf, 2.0]], dtype=torch.float64)
    for scale in (1.0, 1e15):
        for softness in (1e-30, torch.tensor(1e-300, dtype=torch.float64)):
            found = softtorch.sort(x * scale, softness=softness, method=method, standardize=False).values
            torch.testing.assert_close(found, (x * scale).sort(dim=-1).values)
