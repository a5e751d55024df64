"""mode="hard" is torch's own function: values bit for bit, the soft index one-hot at torch's index.

Whole numbers come in torch's default floating dtype, as they do in the other modes.
"""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import softtorch
from tests.softtorch.cases import integers, one_hot

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64]
SHAPES = [(), (1,), (5,), (3, 4), (0, 4), (2, 3, 4), (2, 1, 3, 2)]


def along_every_dim() -> Iterator[tuple[Tensor, int, int]]:
    """Inputs with ties, a dim, and its length."""
    for dtype, shape in itertools.product(DTYPES, SHAPES):
        for dim in range(-max(1, len(shape)), max(1, len(shape))):
            n = shape[dim] if shape else 1
            if n:
                yield integers(*shape, dtype=dtype), dim, n


def same(got: Tensor, want: Tensor) -> None:
    want = want.to(floating(want))
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)


def floating(x: Tensor) -> torch.dtype:
    return x.dtype if x.dtype.is_floating_point else torch.get_default_dtype()


@pytest.mark.parametrize("name", ["max", "min", "median"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_extrema_and_medians_are_torchs(name: str, keepdim: bool) -> None:
    for x, dim, n in along_every_dim():
        want = getattr(torch, name)(x, dim, keepdim=keepdim)
        got = getattr(softtorch, name)(x, dim, keepdim, mode="hard")
        same(got.values, want.values)
        same(got.indices, one_hot(want.indices, n, floating(x)))
        if x.numel():
            same(getattr(softtorch, name)(x, mode="hard"), getattr(torch, name)(x))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_argmax_and_argmin_are_torchs(name: str, keepdim: bool) -> None:
    for x, dim, n in along_every_dim():
        want = getattr(torch, name)(x, dim, keepdim=keepdim)
        same(getattr(softtorch, name)(x, dim, keepdim, mode="hard"), one_hot(want, n, floating(x)))
        if x.numel():
            want = getattr(torch, name)(x, keepdim=keepdim)
            got = getattr(softtorch, name)(x, keepdim=keepdim, mode="hard")
            same(got, one_hot(want, x.numel(), floating(x)))


@pytest.mark.parametrize("descending", [False, True])
def test_sort_and_argsort_are_torchs(descending: bool) -> None:
    for x, dim, n in along_every_dim():
        for stable in (False, True):
            want = torch.sort(x, dim=dim, descending=descending, stable=stable)
            got = softtorch.sort(x, dim, descending, mode="hard", stable=stable)
            same(got.values, want.values)
            same(got.indices, one_hot(want.indices, n, floating(x)))
            same(softtorch.argsort(x, dim, descending, mode="hard", stable=stable), got.indices)


@pytest.mark.parametrize("largest", [False, True])
def test_topk_and_kthvalue_are_torchs(largest: bool) -> None:
    for x, dim, n in along_every_dim():
        for k in range(0 if x.ndim else 1, n + 1):
            want = torch.topk(x, k, dim, largest)
            got = softtorch.topk(x, k, dim, mode="hard", largest=largest)
            same(got.values, want.values)
            same(got.indices, one_hot(want.indices, n, floating(x)))
        want = torch.kthvalue(x, (n + 1) // 2, dim, keepdim=largest)
        got = softtorch.kthvalue(x, (n + 1) // 2, dim, keepdim=largest, mode="hard")
        same(got.values, want.values)
        same(got.indices, one_hot(want.indices, n, floating(x)))


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_running_extrema_are_torchs(name: str) -> None:
    for x, dim, n in along_every_dim():
        want = getattr(torch, name)(x, dim)
        got = getattr(softtorch, name)(x, dim, mode="hard")
        same(got.values, want.values)
        same(got.indices, one_hot(want.indices, n, floating(x)))


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles_are_torchs(interpolation: str) -> None:
    for x, dim, n in along_every_dim():
        if x.dtype not in (torch.float32, torch.float64) or not x.numel():
            continue  # torch.quantile takes no others
        for q in (0.0, 0.3, 0.55, 1.0, torch.tensor(0.55, dtype=x.dtype), torch.tensor([0.1, 0.9, 1.0], dtype=x.dtype)):
            for keepdim in (False, True):
                want = torch.quantile(x, q, dim, keepdim, interpolation=interpolation)
                same(softtorch.quantile(x, q, dim, keepdim, mode="hard", interpolation=interpolation), want)
                rows = softtorch.argquantile(x, q, dim, keepdim, mode="hard", interpolation=interpolation)
                assert rows.shape == (*want.shape, n)


def test_quantiles_of_all_entries_are_torchs() -> None:
    x = integers(3, 4, dtype=torch.float32)
    for q in (0.3, torch.tensor([0.1, 0.9])):
        same(softtorch.quantile(x, q, keepdim=True, mode="hard"), torch.quantile(x, q, keepdim=True))
        same(softtorch.percentile(x, 100 * q, mode="hard"), torch.quantile(x, q))


def test_quantiles_round_q_as_torch_does() -> None:
    # 0.55 * 20 is 11.000000000000002 in float64 and 11 in float32: "higher" tells them apart
    for dtype in (torch.float32, torch.float64):
        x = torch.arange(21, dtype=dtype)
        for interpolation in ("higher", "lower", "nearest"):
            want = torch.quantile(x, 0.55, interpolation=interpolation)
            same(softtorch.quantile(x, 0.55, mode="hard", interpolation=interpolation), want)


def test_infinities_and_nan_are_torchs() -> None:
    inf, nan = torch.inf, torch.nan
    x = torch.tensor([[-inf, 1.0, inf], [nan, 0.0, 2.0], [inf, inf, -inf], [-0.0, 0.0, -0.0]])
    for name in ("max", "min", "median"):
        same(getattr(softtorch, name)(x, 1, mode="hard").values, getattr(torch, name)(x, 1).values)
    same(softtorch.sort(x, 1, mode="hard").values, torch.sort(x, 1).values)
    same(softtorch.topk(x, 2, 1, mode="hard").values, torch.topk(x, 2, 1).values)
    same(softtorch.cummax(x, 1, mode="hard").values, torch.cummax(x, 1).values)
    for q in (0.0, 0.2, 0.5, 1.0):
        same(softtorch.quantile(x, q, 1, mode="hard"), torch.quantile(x, q, 1))


def test_bins_are_torchs() -> None:
    boundaries = torch.tensor([-2.0, 0.0, 1.0])
    x = integers(2, 3, 4, dtype=torch.float32)
    for right in (False, True):
        want = one_hot(torch.bucketize(x, boundaries, right=right), 4, torch.float32)
        same(softtorch.bucketize(x, boundaries, mode="hard", right=right), want)
        same(softtorch.searchsorted(boundaries, x, mode="hard", right=right), want)
        rows = integers(2, 3, 5, seed=3, dtype=torch.float32).sort(dim=-1).values
        want = one_hot(torch.searchsorted(rows, x, right=right), 6, torch.float32)
        same(softtorch.searchsorted(rows, x, mode="hard", right=right), want)
    same(softtorch.histc(x, 5, -2, 2, mode="hard"), torch.histc(x, 5, -2, 2))
    same(softtorch.histc(x, 7, mode="hard"), torch.histc(x, 7))


def test_ranks_are_places_in_the_stable_order() -> None:
    x = torch.tensor([2.0, 1.0, 2.0, 3.0])
    assert softtorch.rank(x, mode="hard").tolist() == [2, 4, 3, 1]
    assert softtorch.rank(x, mode="hard", descending=False).tolist() == [2, 1, 3, 4]
    assert softtorch.rank(x.int(), mode="hard").dtype == torch.float32


def test_the_exact_mask_is_that_of_topk() -> None:
    x = integers(3, 6).add(torch.arange(6) / 10)
    mask = softtorch.topk_mask(x, 2, mode="hard")
    same(mask, torch.zeros_like(x).scatter(-1, x.topk(2).indices, 1.0))
    assert softtorch.topk_mask(x, 2.5, mode="hard").sum(dim=-1).tolist() == [2.5, 2.5, 2.5]


def test_values_carry_torchs_gradient() -> None:
    x = integers(3, 5).add(torch.arange(5) / 10).requires_grad_()
    w = torch.arange(15.0, dtype=torch.float64).view(3, 5)
    (got,) = torch.autograd.grad((softtorch.sort(x, mode="hard").values * w).sum(), x)
    (want,) = torch.autograd.grad((torch.sort(x).values * w).sum(), x)
    same(got, want)
    assert not softtorch.argsort(x, mode="hard").requires_grad
