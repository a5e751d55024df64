"""Writing by soft indices: torch's own writing at one-hot indices, the expected value between."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from softtorch.errors import ShapeError
from softtorch.operators.scatter import bincount, one_hot, scatter, scatter_add

INF, NAN = float("inf"), float("nan")


def hot(index, n, dtype=torch.float32):
    return torch.nn.functional.one_hot(index, n).to(dtype)


def soft(*shape, dtype=torch.float64):
    return torch.softmax(torch.randn(*shape, dtype=dtype), dim=-1)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("smaller", [0, 1])
def test_one_hot_indices_write_what_torch_writes(dim, smaller):
    x = torch.randn(3, 4)
    x[0, 0] = INF
    n = x.shape[dim]
    sizes = [2 if place == dim % 2 else size - smaller for place, size in enumerate(x.shape)]
    index = torch.argsort(torch.rand(*sizes[: dim % 2], n, *sizes[dim % 2 + 1 :]), dim).narrow(dim, 0, 2)
    value = torch.randn(4, 5)
    value[0, 1] = -INF
    want = x.scatter(dim, index, value)
    assert torch.equal(scatter(x, dim, hot(index, n), value), want)
    assert torch.equal(scatter(x, dim, hot(index, n), 2.5), x.scatter(dim, index, 2.5))
    want = x.scatter_add(dim, index, value)
    assert torch.allclose(scatter_add(x, dim, hot(index, n), value), want, rtol=0, atol=0, equal_nan=True)


def test_duplicates_add_up_in_scatter_add_and_share_the_element_in_scatter():
    x, value = torch.tensor([5.0, 7.0]), torch.tensor([1.0, 2.0])
    index = hot(torch.tensor([0, 0]), 2)
    assert scatter_add(x, 0, index, value).tolist() == [8.0, 7.0]
    assert scatter(x, 0, index, value).tolist() == [1.5, 7.0]
    assert scatter(x, 0, index, torch.ones(2)).tolist() == [1.0, 7.0]  # as torch has it


def test_soft_writes_leave_what_they_do_not_take():
    x, p, v = torch.randn(4, dtype=torch.float64), soft(1, 4), torch.randn(1, dtype=torch.float64)
    assert torch.allclose(scatter(x, 0, p, v), x * (1 - p[0]) + p[0] * v)
    assert torch.allclose(scatter_add(x, 0, p, v), x + p[0] * v)


def test_gradients_are_finite_where_infinities_are_overwritten_or_not_written():
    x = torch.tensor([INF, 1.0], requires_grad=True)
    p = torch.tensor([[1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    v = torch.tensor([2.0, NAN], requires_grad=True)
    out = scatter(x, 0, p, v)
    assert out.tolist() == [2.0, 1.0]
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(out.sum(), [x, p, v]))


def test_bincount_is_torchs_for_one_hot_indices():
    index, weights = torch.randint(4, (20,)), torch.randn(20)
    for minlength in (0, 4, 6):
        want = torch.bincount(index, minlength=max(minlength, 4))
        assert torch.equal(bincount(hot(index, 4), minlength=minlength), want.float())
        want = torch.bincount(index, weights, minlength=max(minlength, 4))
        assert torch.allclose(bincount(hot(index, 4), weights, minlength), want)
    assert torch.allclose(bincount(soft(3, 5, 4)).sum(), torch.tensor(15.0, dtype=torch.float64))
    assert bincount(torch.zeros(0, 4)).tolist() == [0.0] * 4


def test_one_hot_of_a_soft_index_is_itself_and_of_integers_torchs():
    p = soft(2, 3)
    assert one_hot(p) is p and one_hot(p, 3) is p
    assert torch.equal(one_hot(p, 5), torch.nn.functional.pad(p, (0, 2)))
    index = torch.tensor([0, 2])
    assert torch.equal(one_hot(index, 4), torch.nn.functional.one_hot(index, 4))


def test_derivatives():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    p = (0.4 * soft(3, 2, 4)).requires_grad_()  # the weights sum below 1: away from the floor of scatter
    v = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 4, dtype=torch.float64)
    for fn in (scatter, scatter_add):
        assert gradcheck(lambda x, p, v, fn=fn: fn(x, 1, p, v) * weight, (x, p, v), check_forward_ad=True)
        assert gradgradcheck(lambda x, p, v, fn=fn: fn(x, 1, p, v) * weight, (x, p, v))


def test_transforms_see_through():
    x, p, v = torch.randn(2, 3), soft(2, 4, 3, dtype=torch.float32), torch.randn(2, 4)
    want = scatter(x, 1, p, v)
    assert torch.allclose(torch.func.vmap(lambda x, p, v: scatter(x, 0, p, v))(x, p, v), want)
    compiled = torch.compile(scatter, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x, 1, p, v), want)
    assert scatter(x.to("meta"), 1, p.to("meta"), v.to("meta")).shape == want.shape
    assert scatter(x.bfloat16(), 1, p, v).dtype == torch.bfloat16


def test_errors_name_the_shapes():
    x, p = torch.randn(2, 3), soft(2, 4, 3)
    with pytest.raises(ShapeError, match=r"scatter: value \(2, 3\) is smaller than the index \(2, 4\)\."):
        scatter(x, 1, p, torch.randn(2, 3))
    with pytest.raises(ShapeError, match=r"scatter_add: soft_index \(3, 1, 3\) does not fit input \(2, 3\)"):
        scatter_add(x, 1, torch.zeros(3, 1, 3), 1.0)
    with pytest.raises(ShapeError, match=r"one_hot: num_classes=2 is smaller than the 3 classes"):
        one_hot(p, 2)
    with pytest.raises(ShapeError, match=r"bincount: weights \(3,\) do not fit soft_index \(2, 4, 3\)"):
        bincount(p, torch.ones(3))
