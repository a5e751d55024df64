"""Sparse top-k masks: exact zeros and ones, k of every kind, infinite entries."""

import math

import pytest
import torch

import softtorch
from tests.softtorch.cases import draw, weights_like

MODES = ["c0", "c1", "c2"]


@pytest.mark.parametrize("mode", MODES)
def test_clear_cases_are_exactly_zero_or_one(mode: str) -> None:
    x = torch.tensor([5.0, 4.0, 1.0, 0.9, -3.0, -4.0], dtype=torch.float64)
    mask = softtorch.topk_mask(x, 2.5, softness=0.05, mode=mode, method="sparse_topk", standardize=False)
    assert mask[:2].tolist() == [1.0, 1.0]
    assert mask[4:].tolist() == [0.0, 0.0]
    assert (mask[2] > mask[3]).item()


@pytest.mark.parametrize("mode", MODES)
def test_infinite_entries_are_in_or_out_before_the_others(mode: str) -> None:
    x = draw(2, 5)
    wide = torch.cat([torch.full((2, 1), -math.inf), x, torch.full((2, 2), math.inf)], dim=-1).double().requires_grad_()
    alone, among = (softtorch.topk_mask(t, k, mode=mode, method="sparse_topk") for t, k in ((x, 2.5), (wide, 4.5)))
    torch.testing.assert_close(among[:, 1:6], alone, rtol=0, atol=1e-12)
    torch.testing.assert_close(among[:, [0, 6, 7]], torch.tensor([[0.0, 1.0, 1.0]]).expand(2, 3).double())
    (gradient,) = torch.autograd.grad((among * weights_like(among)).sum(), wide)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("mode", MODES)
def test_k_is_learnable(mode: str) -> None:
    x, k = draw(2, 6), torch.tensor([1.3, 3.6], dtype=torch.float64, requires_grad=True)
    loss = lambda k: softtorch.topk_mask(x, k, mode=mode, method="sparse_topk") * weights_like(x)  # noqa: E731
    assert torch.autograd.gradcheck(loss, k)


def test_it_has_no_order_statistics() -> None:
    with pytest.raises(ValueError, match="method 'sparse_topk' gives"):
        softtorch.sort(draw(4), mode="c0", method="sparse_topk")
    with pytest.raises(ValueError, match="method 'sparse_topk' is not defined in mode 'smooth'"):
        softtorch.topk_mask(draw(4), 2, method="sparse_topk")
