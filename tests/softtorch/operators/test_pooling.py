"""Max pooling against torch's: every window, in the limit and in mode hard; errors; transforms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

import softtorch
from softtorch.errors import ShapeError
from softtorch.operators.pooling import _adaptive

WINDOWS: list[dict[str, Any]] = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "dilation": 2, "stride": 1},
    {"kernel_size": 2, "stride": 3, "ceil_mode": True},
]
DIMS = pytest.mark.parametrize("dims", [1, 2, 3])


def planes(dims: int) -> torch.Tensor:
    return torch.randn(2, 3, *(7, 9, 8)[:dims], generator=torch.Generator().manual_seed(dims), dtype=torch.float64)


@DIMS
@pytest.mark.parametrize("window", WINDOWS)
def test_the_windows_are_torchs(window: dict[str, Any], dims: int) -> None:
    soft, hard = getattr(softtorch, f"max_pool{dims}d"), getattr(F, f"max_pool{dims}d")
    x = planes(dims)
    assert torch.equal(soft(x, **window, mode="hard"), hard(x, **window))
    # 27 entries whose softmax at softness 1e-5 leaves less than 1e-4 to all others.
    assert torch.allclose(soft(x, **window, softness=1e-5, standardize=False), hard(x, **window), atol=1e-4)


@DIMS
@pytest.mark.parametrize("output_size", [1, 2, 4, 5, None])
def test_adaptive_windows_are_torchs(output_size: int | None, dims: int) -> None:
    soft, hard = getattr(softtorch, f"adaptive_max_pool{dims}d"), getattr(F, f"adaptive_max_pool{dims}d")
    x, size = planes(dims), (output_size,) * dims if output_size is None else output_size
    if dims == 1 and output_size is None:
        pytest.skip("torch takes no None here")
    assert torch.equal(soft(x, size, mode="hard"), hard(x, size))
    assert torch.allclose(soft(x, size, softness=1e-5, standardize=False), hard(x, size), atol=1e-4)


@pytest.mark.parametrize("mode", ["smooth", "c0", "c1", "c2"])
def test_the_gradient_is_that_of_the_value(mode: str) -> None:
    x = planes(2)[:1, :1].requires_grad_()
    assert gradcheck(lambda x: softtorch.max_pool2d(x, 3, 2, 1, softness=0.5, mode=mode), x)


def test_it_maps_over_a_batch_as_it_takes_one() -> None:
    x = planes(2)
    mapped = torch.func.vmap(lambda x: softtorch.max_pool2d(x, 2))(x)
    assert torch.allclose(mapped, softtorch.max_pool2d(x, 2))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"kernel_size": 20}, "does not fit"),
        ({"kernel_size": (2, 2, 2)}, "Give one number, or 2"),
        ({"kernel_size": 2, "padding": 2}, "at most half"),
        ({"kernel_size": 0}, "positive"),
    ],
)
def test_windows_that_cannot_be_are_told(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(ShapeError, match=error):
        softtorch.max_pool2d(planes(2), **arguments)


def test_an_input_without_spatial_axes_is_told() -> None:
    with pytest.raises(ShapeError, match="2 spatial axes"):
        softtorch.max_pool2d(torch.zeros(2, 2), 2)


@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 12])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 9])
def test_adaptive_windows_are_torchs_and_none_is_padded_beyond_the_longest(n: int, count: int) -> None:
    x = torch.randn(2, n, generator=torch.Generator().manual_seed(n))
    hard = softtorch.adaptive_max_pool1d(x, count, mode="hard")
    assert torch.equal(hard, torch.nn.functional.adaptive_max_pool1d(x, count))
    (windows,) = _adaptive("adaptive_max_pool1d", 1, x, count)
    assert (windows >= 0).sum(-1).max() == windows.shape[-1]


def test_one_compiled_graph_pools_every_size() -> None:
    pool = torch.compile(lambda x: softtorch.adaptive_max_pool1d(x, 3), backend="eager", fullgraph=True, dynamic=True)
    pool(torch.randn(2, 10))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for n in (11, 12, 13):
            x = torch.randn(2, n, generator=torch.Generator().manual_seed(n))
            torch.testing.assert_close(pool(x), softtorch.adaptive_max_pool1d(x, 3))
