"""softpick, entmax, attention and the layers of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as drawn
from torch.autograd import gradcheck, gradgradcheck

import softtorch
from softtorch.errors import DimensionError, OptionError
from tests.softtorch.pointwise_table import INF

each_variant = pytest.mark.parametrize("variant", ["abs", "rectified"])


def scores(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_softpick_is_its_formula():
    x = scores(3, 5)
    assert torch.allclose(softtorch.softpick(x), x / (1 + x.abs().sum(-1, keepdim=True)))
    e = torch.expm1(x)
    want = e.relu() / (e.abs().sum(-1, keepdim=True) + 1e-6)
    assert torch.allclose(softtorch.softpick(x, variant="rectified"), want)
    assert torch.allclose(softtorch.softpick(x, 0, "rectified"), softtorch.softpick(x.T, 1, "rectified").T)


@each_variant
@settings(max_examples=40)
@given(drawn.lists(drawn.floats(-1e4, 1e4), min_size=1, max_size=6))
def test_magnitudes_sum_to_less_than_1(variant, values):
    weights = softtorch.softpick(torch.tensor(values, dtype=torch.float64), variant=variant)
    assert weights.isfinite().all() and weights.abs().sum() <= 1.0


@each_variant
def test_masked_entries_are_0_and_add_nothing(variant):
    x = scores(2, 4).requires_grad_()
    masked = torch.cat([x, torch.full((2, 1), -INF, dtype=torch.float64)], -1)
    out = softtorch.softpick(masked, variant=variant)
    assert torch.allclose(out[:, :4], softtorch.softpick(x, variant=variant)) and not out[:, 4].any()
    assert torch.autograd.grad((out * scores(2, 5)).sum(), x)[0].isfinite().all()
    nothing = torch.full((3,), -INF, requires_grad=True)
    out = softtorch.softpick(nothing, variant=variant)
    assert out.tolist() == [0.0] * 3 and torch.autograd.grad(out.sum(), nothing)[0].tolist() == [0.0] * 3


@each_variant
def test_softpick_derivatives_and_half_precision(variant):
    x, weight = scores(2, 4).requires_grad_(), scores(2, 4).flip(0)
    assert gradcheck(lambda x: softtorch.softpick(x, -1, variant) * weight, (x,), check_forward_ad=True)
    assert gradgradcheck(lambda x: softtorch.softpick(x, -1, variant) * weight, (x,))
    half = x.detach().bfloat16() * 20
    assert torch.equal(softtorch.softpick(half, -1, variant), softtorch.softpick(half.float(), -1, variant).bfloat16())
    assert softtorch.softpick(torch.zeros(2, 0), -1, variant).shape == (2, 0)
    large = torch.tensor([1e4, -1e4, 3.0])
    assert softtorch.softpick(large, -1, variant).isfinite().all()


def test_entmax_has_its_named_members():
    x = scores(4, 6)
    assert torch.equal(softtorch.entmax(x, 1), torch.softmax(x, -1))
    assert torch.equal(softtorch.sparsemax(x, 0), softtorch.entmax(x, 2.0, 0))
    for alpha in (4 / 3, 1.5, 2.0):
        exact = softtorch.entmax(x, alpha)
        searched = softtorch.entmax(x, torch.tensor(alpha, dtype=torch.float64))
        assert torch.allclose(exact, searched, atol=1e-12)
    assert torch.allclose(
        softtorch.entmax(x, torch.tensor(1.001, dtype=torch.float64)), torch.softmax(x, -1), atol=1e-3
    )


@pytest.mark.parametrize("alpha", [1.0, 1.1, 1.25, 4 / 3, 1.5, 1.7, 2.0, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_entmax_is_on_the_simplex_and_masks(alpha, dtype):
    x = (3 * scores(5, 8)).to(dtype)
    x[:, 3] = -INF
    p = softtorch.entmax(x, alpha)
    assert p.dtype == dtype and (p >= 0).all() and not p[:, 3].any()
    assert torch.allclose(p.sum(-1), torch.ones(5, dtype=dtype), atol=2 * torch.finfo(dtype).eps)
    if alpha >= 1.5:
        assert (p == 0).sum() > 10


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
def test_entmax_derivatives_for_alpha_too(alpha):
    x, weight = scores(3, 4).requires_grad_(), scores(3, 4).flip(0)
    learned = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, a: softtorch.entmax(x, a) * weight, (x, learned))
    assert gradcheck(lambda x: softtorch.entmax(x, alpha) * weight, (x,))
    assert gradgradcheck(lambda x, a: softtorch.entmax(x, a) * weight, (x, learned))
    rows = torch.tensor([1.2, 1.5, 1.9], dtype=torch.float64)
    each = torch.stack([softtorch.entmax(row, a.item()) for row, a in zip(x, rows, strict=True)])
    assert torch.allclose(softtorch.entmax(x, rows), each)


def test_attention_is_softpick_between_its_matrix_products():
    q, k, v = scores(2, 3, 5, 4), scores(2, 3, 6, 4), scores(2, 3, 6, 7)
    weights = softtorch.softpick(q @ k.mT / 2.0)
    assert torch.allclose(softtorch.softpick_attention(q, k, v), weights @ v)
    seen = torch.ones(5, 6, dtype=torch.bool).tril()
    bias = torch.zeros(5, 6, dtype=torch.float64).masked_fill(~seen, -INF)
    causal = softtorch.softpick_attention(q, k, v, is_causal=True)
    for mask in (seen, bias):
        assert torch.allclose(softtorch.softpick_attention(q, k, v, mask), causal)
    one = softtorch.softpick_attention(q, k, v, seen, scale=0.3, variant="rectified")
    assert torch.allclose(one, softtorch.softpick((0.3 * q @ k.mT).masked_fill(~seen, -INF), -1, "rectified") @ v)
    grouped = softtorch.softpick_attention(q.repeat(1, 2, 1, 1), k, v, enable_gqa=True)
    assert grouped.shape == (2, 6, 5, 7)
    assert softtorch.softpick_attention(q, k, v, dropout_p=1.0).abs().max() == 0


def test_layers():
    x = scores(2, 5, 8).float()
    attention = softtorch.SoftpickAttention(8, 2, dropout=0.5).eval()
    causal = attention(x, is_causal=True)
    changed = x.clone()
    changed[:, 3:] += 1
    assert torch.allclose(attention(changed, is_causal=True)[:, :3], causal[:, :3])
    assert torch.equal(softtorch.Softpick(1, "rectified")(x), softtorch.softpick(x, 1, "rectified"))
    assert torch.equal(softtorch.Entmax(1.5)(x), softtorch.entmax(x, 1.5))
    learned = softtorch.Entmax(1.5, learned=True)
    learned(x).square().sum().backward()
    assert learned.raw.grad.abs() > 0 and learned.alpha.item() == pytest.approx(1.5)
    assert torch.equal(softtorch.SoftSort(0.2)(x), softtorch.argsort(x, softness=0.2, method="softsort"))
    for layer, text in (
        (softtorch.Softpick(), "dim=-1, variant='abs'"),
        (learned, "alpha=1.5"),
        (softtorch.SoftSort(), "softness=0.1"),
    ):
        assert text in repr(layer)


def test_transforms_see_through():
    x = torch.randn(3, 4)
    for fn in (
        softtorch.softpick,
        lambda x: softtorch.softpick(x, -1, "rectified"),
        lambda x: softtorch.entmax(x, 1.7),
    ):
        assert torch.allclose(torch.func.vmap(fn)(x), fn(x), atol=1e-6)
        assert torch.allclose(torch.compile(fn, fullgraph=True, backend="aot_eager")(x), fn(x), atol=1e-6)
        assert fn(x.to("meta")).shape == x.shape
    assert softtorch.entmax(torch.tensor(2.0), 1.5).item() == 1.0


def test_errors():
    x = torch.randn(3)
    with pytest.raises(OptionError, match=r"softpick: unknown variant 'rectify'.*Did you mean 'rectified'"):
        softtorch.softpick(x, variant="rectify")
    with pytest.raises(OptionError, match=r"entmax: alpha=0\.5 is below 1"):
        softtorch.entmax(x, 0.5)
    with pytest.raises(DimensionError, match="softpick: dim=1"):
        softtorch.softpick(x, 1)
    with pytest.raises(OptionError, match="attn_mask and is_causal=True are both given"):
        softtorch.softpick_attention(x[None], x[None], x[None], torch.ones(1, 1), is_causal=True)
    with pytest.raises(OptionError, match="embed_dim=7 is not divisible by num_heads=2"):
        softtorch.SoftpickAttention(7, 2)


def test_attention_compiles_with_symbolic_sizes_and_numbers():
    attend = torch.compile(softtorch.softpick_attention, backend="eager", fullgraph=True, dynamic=True)
    q, k = torch.randn(2, 4, 5), torch.randn(2, 6, 5)
    assert torch.allclose(attend(q, k, k), softtorch.softpick_attention(q, k, k))
