"""Selection by soft conditions: torch's own selection at 0 and 1, the expected value between."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st_
from torch.autograd import gradcheck, gradgradcheck

from softtorch.errors import ShapeError
from softtorch.operators.selection import masked_fill, masked_mean, masked_sum, where

INF, NAN = float("inf"), float("nan")
WILD = [0.0, 1.5, -2.0, INF, -INF, NAN]


def wild_pairs(dtype=torch.float64):
    x = torch.tensor(WILD, dtype=dtype).repeat_interleave(len(WILD))
    return x, torch.tensor(WILD, dtype=dtype).repeat(len(WILD))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("chosen", [True, False])
def test_where_at_0_and_1_is_torchs_whatever_the_other_branch_holds(dtype, chosen):
    x, y = wild_pairs(dtype)
    condition = torch.full_like(x, float(chosen))
    assert torch.equal(where(condition, x, y).nan_to_num(7), torch.where(condition.bool(), x, y).nan_to_num(7))
    assert torch.equal(where(condition, x, y).isnan(), (x if chosen else y).isnan())


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_where_has_finite_gradients_whatever_the_branches_hold(probability):
    x, y = (branch.requires_grad_() for branch in wild_pairs())
    condition = torch.full_like(x, probability, requires_grad=True)
    for grad in torch.autograd.grad(where(condition, x, y).nan_to_num(0, 0, 0).sum(), [condition, x, y]):
        assert grad.isfinite().all()


def test_where_1_of_x_and_minus_infinity_is_x_with_the_gradients_of_x():
    x = torch.tensor([2.0, -3.0], requires_grad=True)
    condition = torch.ones(2, requires_grad=True)
    out = where(condition, x, -INF)
    grads = torch.autograd.grad(out.sum(), [condition, x])
    assert out.tolist() == [2.0, -3.0]
    assert grads[0].tolist() == [2.0, -3.0] and grads[1].tolist() == [1.0, 1.0]


def test_masked_attention_scores_have_finite_gradients_for_the_mask():
    scores = torch.randn(2, 4, requires_grad=True)
    mask = torch.tensor([1.0, 0.0, 1.0, 1.0], requires_grad=True)
    weights = torch.softmax(where(mask, scores, -INF), dim=-1)
    assert weights[:, 1].tolist() == [0.0, 0.0]
    grads = torch.autograd.grad((weights * torch.randn(2, 4)).sum(), [scores, mask])
    assert all(grad.isfinite().all() for grad in grads)


@given(st_.floats(0, 1), st_.floats(-1e30, 1e30), st_.floats(-1e30, 1e30))
def test_where_stays_between_its_branches(p, x, y):
    out = where(torch.tensor(p, dtype=torch.float64), torch.tensor(x, dtype=torch.float64), y).item()
    slack = 4e-16 * (abs(x) + abs(y))  # two roundings in float64
    assert min(x, y) - slack <= out <= max(x, y) + slack


def test_where_derivatives():
    p = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    x = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)
    y = torch.randn(4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 4, dtype=torch.float64)
    assert gradcheck(lambda *a: where(*a) * weight, (p, x, y), check_forward_ad=True)
    assert gradgradcheck(lambda *a: where(*a) * weight, (p, x, y))


@pytest.mark.parametrize(
    ("condition", "x", "y", "want"),
    [
        (torch.float32, torch.float64, torch.float64, torch.float64),
        (torch.float32, torch.bfloat16, torch.bfloat16, torch.bfloat16),
        (torch.float64, torch.float32, torch.float32, torch.float32),
        (torch.float64, torch.int64, torch.int64, torch.float64),
        (torch.float16, torch.float32, torch.int64, torch.float32),
        (torch.bool, torch.int64, torch.int64, torch.int64),
    ],
)
def test_where_has_the_dtype_of_its_branches_when_that_is_floating(condition, x, y, want):
    p = torch.ones(2, dtype=condition)
    out = where(p, torch.ones(2, dtype=x), torch.zeros(2, dtype=y))
    assert out.dtype == want and out.tolist() == [1.0, 1.0]


def test_where_takes_numbers_for_branches():
    p = torch.tensor([0.25, 1.0], dtype=torch.float64)
    assert where(p, 4, 0.0).tolist() == [1.0, 4.0] and where(p, 4, 0).dtype == torch.float64
    assert where(p > 0.5, 4, 0).tolist() == [0, 4]


def test_masked_fill_is_torchs_for_exact_masks():
    x = torch.randn(3, 4)
    mask = torch.rand(3, 4) > 0.5
    for value in (-INF, 2.0, torch.tensor(3.0)):
        assert torch.equal(masked_fill(x, mask, value), x.masked_fill(mask, value))
        assert torch.equal(masked_fill(x, mask.float(), value), x.masked_fill(mask, value))


@pytest.mark.parametrize("dim", [None, 0, 1, (0, 1), -1])
@pytest.mark.parametrize("keepdim", [False, True])
def test_masked_reductions_are_those_of_the_selection_for_exact_masks(dim, keepdim):
    x = torch.randn(3, 4, dtype=torch.float64)
    mask = torch.rand(3, 4) > 0.3
    mask[:, 0] = True
    mask[0] = True
    filled = torch.where(mask, x, 0.0)
    total, count = filled.sum(dim, keepdim=keepdim), mask.sum(dim, keepdim=keepdim)
    unselected = torch.where(mask, x, NAN)  # what is not selected may hold anything
    for soft in (mask, mask.double()):
        assert torch.allclose(masked_sum(unselected, soft, dim, keepdim), total)
        assert torch.allclose(masked_mean(unselected, soft, dim, keepdim), total / count)
    if dim is None and not keepdim:
        assert torch.allclose(masked_mean(x, mask), x[mask].mean())


def test_masked_mean_of_nothing_is_nan_with_a_finite_gradient():
    x = torch.ones(2, 3, requires_grad=True)
    mask = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0]], requires_grad=True)
    mean = masked_mean(x, mask, dim=1)
    assert mean[0].isnan() and mean[1] == 1.0
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(mean.nan_to_num(0).sum(), [x, mask]))


def test_masked_mean_derivatives():
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, dtype=torch.float64)
    assert gradcheck(lambda *a: masked_mean(*a, dim=1) * weight, (x, mask))
    assert gradgradcheck(lambda *a: masked_mean(*a, dim=1) * weight, (x, mask))


def test_transforms_see_through_where():
    p, x, y = torch.rand(3, 4), torch.randn(3, 4), torch.randn(3, 4)
    want = where(p, x, y)
    assert torch.equal(torch.func.vmap(where)(p, x, y), want)
    assert torch.equal(torch.compile(where, fullgraph=True, backend="aot_eager")(p, x, y), want)
    assert where(*(t.to("meta") for t in (p, x, y))).shape == want.shape


def test_a_condition_that_is_no_probability_is_an_error():
    with pytest.raises(ShapeError, match=r"where: condition has dtype torch\.int64\. It holds .* torch's own"):
        where(torch.ones(2, dtype=torch.int64), 1.0, 0.0)
    with pytest.raises(ShapeError, match="masked_sum: mask has dtype"):
        masked_sum(torch.ones(2), torch.ones(2, dtype=torch.int64))
