"""Reading by soft indices: torch's own reading at one-hot indices, the expected value between."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from softtorch.errors import DimensionError, ShapeError
from softtorch.operators.indexing import (
    choose,
    dynamic_slice,
    embedding,
    gather,
    index_select,
    narrow,
    take,
    take_along_dim,
)

INF, NAN = float("inf"), float("nan")


class Storages(TorchDispatchMode):
    """How many elements the memory of each result has."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **kwargs or {})
        if isinstance(result, torch.Tensor):
            self.sizes.append(result.untyped_storage().nbytes() // result.element_size())
        return result


def hot(index, n, dtype=torch.float64):
    return torch.nn.functional.one_hot(index, n).to(dtype)


def soft(*shape, dtype=torch.float64):
    return torch.softmax(torch.randn(*shape, dtype=dtype), dim=-1)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_one_hot_indices_read_what_torch_reads_infinities_included(dim):
    x = torch.randn(3, 4, 5, dtype=torch.float64)
    x[0, 0, 0], x[1, 2, 3], x[2, 3, 4], x[:, 1, 1] = INF, -INF, NAN, INF
    n = x.shape[dim]
    sizes = [6 if place == dim % 3 else size for place, size in enumerate(x.shape)]
    index = torch.randint(n, sizes)
    want = torch.take_along_dim(x, index, dim)
    assert torch.allclose(take_along_dim(x, hot(index, n), dim), want, equal_nan=True, rtol=0, atol=0)
    assert torch.allclose(gather(x, dim, hot(index, n)), want, equal_nan=True, rtol=0, atol=0)
    flat = torch.randint(n, (7,))
    want = x.index_select(dim, flat)
    assert torch.allclose(take(x, hot(flat, n), dim), want, equal_nan=True, rtol=0, atol=0)
    assert torch.allclose(index_select(x, hot(flat, n), dim), want, equal_nan=True, rtol=0, atol=0)


def test_without_dim_input_is_taken_as_flat():
    x, index = torch.randn(3, 4), torch.randint(12, (2, 5))
    assert torch.equal(take(x, hot(index, 12, torch.float32)), torch.take(x, index))
    assert torch.equal(take_along_dim(x, hot(index, 12, torch.float32)), torch.take_along_dim(x, index))


def test_take_along_dim_broadcasts_and_gather_cuts_the_other_dims():
    x = torch.randn(3, 4)
    index = torch.randint(4, (1, 2))
    assert torch.equal(take_along_dim(x, hot(index, 4, torch.float32), 1), torch.take_along_dim(x, index, 1))
    assert torch.equal(gather(x, 1, hot(index, 4, torch.float32)), torch.gather(x, 1, index))


def test_take_puts_the_shape_of_the_index_in_the_place_of_dim():
    x, index = torch.randn(3, 4, 5), torch.randint(4, (2, 6))
    assert torch.equal(take(x, hot(index, 4, torch.float32), 1), x[:, index])
    assert take(x, soft(4, dtype=torch.float32), 1).shape == (3, 5)


def test_an_infinity_of_positive_probability_shows_and_opposite_ones_give_nan():
    x = torch.tensor([1.0, INF, -INF, NAN])
    p = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.5, 0.0], [0.9, 0.0, 0.0, 0.1]])
    out = take(x, p)
    assert out[:2].tolist() == [INF, -INF] and out[2:].isnan().all()


def test_gradients_are_finite_whatever_is_not_chosen():
    x = torch.tensor([[1.0, INF], [-INF, 2.0], [NAN, 3.0]], requires_grad=True)
    p = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    for read in (lambda: take(x, p, 0), lambda: choose(p, x.unsqueeze(-1))):
        grads = torch.autograd.grad(read().nan_to_num(0, 0, 0).sum(), [x, p])
        assert all(grad.isfinite().all() for grad in grads)


def test_index_select_of_one_index_keeps_dim_unless_told():
    x, p = torch.randn(3, 4), soft(4, dtype=torch.float32)
    assert index_select(x, p, 1).shape == (3, 1) and index_select(x, p, 1, keepdim=False).shape == (3,)
    assert torch.allclose(index_select(x, p, 1, keepdim=False), x @ p)


@pytest.mark.parametrize("length", [0, 1, 3, 5])
def test_narrow_is_torchs_for_one_hot_starts_and_goes_round_at_the_end(length):
    x = torch.randn(2, 5)
    for start in range(5):
        want = x.roll(-start, 1).narrow(1, 0, length)
        assert torch.equal(narrow(x, hot(torch.tensor(start), 5, torch.float32), length, 1), want)
        if start + length <= 5:
            assert torch.equal(want, x.narrow(1, start, length))


def test_dynamic_slice_is_a_block_for_one_hot_starts():
    x = torch.randn(4, 5, 6)
    starts = [hot(torch.tensor(s), n, torch.float32) for s, n in zip((1, 0, 3), x.shape, strict=True)]
    assert torch.equal(dynamic_slice(x, starts, (2, 5, 3)), x[1:3, 0:5, 3:6])


def test_choose_is_numpys_for_one_hot_indices():
    choices = [torch.randn(4), torch.randn(3, 1), torch.randn(3, 4)]
    index = torch.randint(3, (3, 4))
    want = torch.stack([c.expand(3, 4) for c in choices]).gather(0, index[None])[0]
    assert torch.equal(choose(hot(index, 3, torch.float32), choices), want)


def test_embedding_is_torchs_for_one_hot_indices_and_padding_gets_no_gradient():
    weight = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    index = torch.randint(6, (2, 5))
    want = torch.nn.functional.embedding(index, weight, padding_idx=2)
    out = embedding(hot(index, 6), weight, padding_idx=2)
    assert torch.equal(out, want)
    grads = [torch.autograd.grad(o.sum(), weight)[0] for o in (out, want)]
    assert torch.equal(*grads)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    x, p = torch.randn(400).to(dtype), soft(5, 400, dtype=torch.float32).to(dtype)
    assert torch.equal(take(x, p), take(x.float(), p.float()).to(dtype))


def test_integers_give_expected_values_in_the_dtype_of_the_index():
    assert take(torch.tensor([1, 4]), torch.tensor([0.5, 0.5])).item() == 2.5


def test_derivatives():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    along, flat = soft(3, 2, 4).requires_grad_(), soft(2, 4).requires_grad_()
    weight = torch.randn(3, 2, dtype=torch.float64)
    for fn, index in ((take_along_dim, along), (take, flat), (index_select, flat)):
        assert gradcheck(lambda x, i, fn=fn: fn(x, i, dim=1) * weight, (x, index), check_forward_ad=True)
        assert gradgradcheck(lambda x, i, fn=fn: fn(x, i, dim=1) * weight, (x, index))


def test_transforms_see_through():
    x, p = torch.randn(2, 3, 4), soft(2, 3, 5, 4, dtype=torch.float32)
    want = take_along_dim(x, p, 2)
    assert torch.allclose(torch.func.vmap(lambda x, p: take_along_dim(x, p, 1))(x, p), want)
    compiled = torch.compile(take_along_dim, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x, p, 2), want)
    assert take_along_dim(x.to("meta"), p.to("meta"), 2).shape == want.shape


def test_empty_batches_and_indices_work():
    assert take(torch.randn(0, 4), soft(3, 4, dtype=torch.float32), 1).shape == (0, 3)
    assert take_along_dim(torch.randn(2, 4), torch.zeros(2, 0, 4), 1).shape == (2, 0)


def test_errors_name_the_shapes_and_what_fits():
    x, p = torch.randn(3, 4), soft(2, 4, dtype=torch.float32)
    with pytest.raises(ShapeError, match=r"take: soft_index \(2, 4\) .* 3 elements along dim=0 of \(3, 4\)\. .*\[3\]"):
        take(x, p, 0)
    with pytest.raises(ShapeError, match=r"take_along_dim: soft_index \(2, 4\) does not have one dim more"):
        take_along_dim(x, p, 1)
    with pytest.raises(DimensionError, match=r"take: dim=2 is out of range for input \(3, 4\)\. Use -2 <= dim <= 1"):
        take(x, p, 2)
    with pytest.raises(ShapeError, match=r"take: soft_index has dtype torch\.int64.*torch's own function"):
        take(x, torch.zeros(2, 4, dtype=torch.int64), 1)
    with pytest.raises(ShapeError, match=r"gather: soft_index \(5, 2, 4\) does not fit input \(3, 4\)"):
        gather(x, 1, torch.zeros(5, 2, 4))
    with pytest.raises(ShapeError, match=r"index_select: .*keepdim=False.* Use take"):
        index_select(x, p, 1, keepdim=False)
    with pytest.raises(ShapeError, match=r"narrow: length=5 .* Use 0 <= length <= 4"):
        narrow(x, p[0], 5, 1)
    with pytest.raises(ShapeError, match=r"dynamic_slice: 1 starts and 2 sizes for input \(3, 4\)\. Give 2"):
        dynamic_slice(x, [p[0]], [1, 1])


@pytest.mark.parametrize("read", [lambda x, p: gather(x, 1, p), lambda x, p: take_along_dim(x, p, 1)])
def test_an_expanded_index_reads_as_its_copies_do_and_is_contracted_once(read):
    x = torch.randn(2, 16, 8, 3, dtype=torch.float64, requires_grad=True)
    p = soft(2, 4, 1, 3, 16).requires_grad_()
    weights = torch.randn(2, 4, 8, 3, dtype=torch.float64)

    def gradients(copies):
        return torch.autograd.grad((read(x, copies(p.expand(-1, -1, 8, -1, -1))) * weights).sum(), (x, p))

    want = gradients(torch.clone)
    with Storages() as made:
        got = gradients(lambda index: index)
    torch.testing.assert_close(got, want)
    assert max(made.sizes) <= 2 * x.numel()  # marks of infinities; copies of the index would have 4 times as many
    torch.testing.assert_close(read(x, p.expand(-1, -1, 8, -1, -1)), read(x, p.expand(-1, -1, 8, -1, -1).clone()))


def test_an_expanded_index_has_all_derivatives_and_transforms():
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    p = soft(2, 2, 1, 3).requires_grad_()
    read = lambda x, p: gather(x, 1, p.expand(-1, -1, 2, -1))  # noqa: E731
    assert gradcheck(read, (x, p), check_forward_ad=True)
    assert gradgradcheck(read, (x, p))
    slopes = torch.func.vmap(torch.func.grad(lambda x, p: read(x[None], p[None]).square().sum(), argnums=(0, 1)))(x, p)
    torch.testing.assert_close(slopes, torch.autograd.grad(read(x, p).square().sum(), (x, p)))
