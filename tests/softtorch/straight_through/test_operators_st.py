"""NAME_st of every operator: each bit of the hard value, exactly the derivative of the soft one."""

import inspect

import pytest
import torch

import softtorch
from softtorch.errors import OptionError
from softtorch.straight_through import operators_st
from tests.helpers import identical
from tests.softtorch.pointwise_table import FLOATS, INF, NAN, edges

POINTWISE_HARD = {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "clamp": lambda x: torch.clamp(x, -1.0, 2.0),
    "floor": torch.floor,
    "frac": torch.frac,
    "hardsigmoid": torch.nn.functional.hardsigmoid,
    "hardswish": torch.nn.functional.hardswish,
    "hardtanh": torch.nn.functional.hardtanh,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "relu": torch.relu,
    "relu6": torch.nn.functional.relu6,
    "round": torch.round,
    "sign": torch.sign,
    "softrelu": torch.relu,
    "threshold": lambda x: torch.nn.functional.threshold(x, 0.5, -2.0),
    "trunc": torch.trunc,
}
OPTIONS = {"clamp": (-1.0, 2.0), "threshold": (0.5, -2.0)}
PAIR_HARD = {
    "eq": torch.eq,
    "fmod": torch.fmod,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "isclose": torch.isclose,
    "less": torch.lt,
    "less_equal": torch.le,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "not_equal": torch.ne,
    "remainder": torch.remainder,
}
ALONG_DIM = {
    "argmax": {"dim": 1},
    "argmedian": {"dim": 1},
    "argmin": {"dim": 1},
    "argpercentile": {"p": 30.0, "dim": 1},
    "argquantile": {"q": 0.3, "dim": 1},
    "argsort": {"dim": 1},
    "cummax": {"dim": 1},
    "cummin": {"dim": 1},
    "kthvalue": {"k": 2, "dim": 1},
    "max": {"dim": 1},
    "median": {"dim": 1},
    "min": {"dim": 1},
    "percentile": {"p": 30.0, "dim": 1},
    "quantile": {"q": 0.3, "dim": 1},
    "rank": {"dim": 1},
    "sort": {"dim": 1},
    "topk": {"k": 2, "dim": 1},
    "topk_mask": {"k": 2, "dim": 1},
}
TORCH_ALONG_DIM = {
    "cummax": lambda x: torch.cummax(x, 1).values,
    "cummin": lambda x: torch.cummin(x, 1).values,
    "kthvalue": lambda x: torch.kthvalue(x, 2, 1).values,
    "max": lambda x: torch.max(x, 1).values,
    "median": lambda x: torch.median(x, 1).values,
    "min": lambda x: torch.min(x, 1).values,
    "sort": lambda x: torch.sort(x, 1).values,
    "topk": lambda x: torch.topk(x, 2, 1).values,
}


def tensors(result):
    return [result] if isinstance(result, torch.Tensor) else [r for r in result if r is not None]


@pytest.mark.parametrize("name", POINTWISE_HARD)
@pytest.mark.parametrize("dtype", FLOATS)
def test_elementwise_values_are_torchs_bit_for_bit(name, dtype):
    (x,) = edges(1, dtype)
    out = getattr(softtorch, f"{name}_st")(x.requires_grad_(), *OPTIONS.get(name, ()))
    assert identical(out.detach(), POINTWISE_HARD[name](x.detach()))


@pytest.mark.parametrize("name", PAIR_HARD)
@pytest.mark.parametrize("dtype", FLOATS)
def test_values_of_pairs_are_torchs_bit_for_bit(name, dtype):
    x, y = edges(2, dtype)
    out = getattr(softtorch, f"{name}_st")(x.requires_grad_(), y)
    assert identical(out.detach(), PAIR_HARD[name](x.detach(), y).to(dtype))


@pytest.mark.parametrize("name", [*POINTWISE_HARD, "heaviside", "sigmoidal"])
@pytest.mark.parametrize("mode", ["smooth", "c0", "c1", "c2"])
def test_elementwise_gradients_are_those_of_the_soft_function(name, mode):
    x = torch.linspace(-4, 4, 41, dtype=torch.float64, requires_grad=True)
    weight = torch.linspace(1, 2, 41, dtype=torch.float64)
    hard, soft = (getattr(softtorch, n)(x, *OPTIONS.get(name, ()), mode=mode) for n in (f"{name}_st", name))
    assert torch.equal(*(torch.autograd.grad((out * weight).sum(), x)[0] for out in (hard, soft)))


@pytest.mark.parametrize("name", PAIR_HARD)
def test_gradients_of_pairs_are_those_of_the_soft_function(name):
    x = torch.linspace(-4, 4, 41, dtype=torch.float64, requires_grad=True)
    y = torch.linspace(1, 3, 41, dtype=torch.float64, requires_grad=True)
    hard, soft = (getattr(softtorch, n)(x, y) for n in (f"{name}_st", name))
    for one, other in zip(
        *(
            torch.autograd.grad(o.square().sum() / o.detach().sum() if o is None else o.sum(), [x, y])
            for o in (hard, soft)
        ),
        strict=True,
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ALONG_DIM)
def test_values_along_a_dim_are_those_of_hard_mode_and_gradients_those_of_the_soft_mode(name):
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64, requires_grad=True)
    options = ALONG_DIM[name]
    straight, plain = getattr(softtorch, f"{name}_st"), getattr(softtorch, name)
    for one, hard, soft in zip(
        *(tensors(r) for r in (straight(x, **options), plain(x, mode="hard", **options), plain(x, **options))),
        strict=True,
    ):
        assert identical(one.detach(), hard.detach())
        weight = torch.linspace(1, 2, one.numel(), dtype=torch.float64).reshape(one.shape)
        grads = [torch.autograd.grad((o * weight).sum(), x, retain_graph=True)[0] for o in (one, soft)]
        assert torch.equal(*grads)


@pytest.mark.parametrize("name", ["sort", "max", "min", "topk", "median"])
@pytest.mark.parametrize("method", ["sorting_network", "fast_soft_sort"])
def test_methods_without_indices_give_the_hard_ones_with_and_without_gradients(name: str, method: str) -> None:
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    hard = getattr(softtorch, name)(x, mode="hard", **ALONG_DIM[name])
    for given in (x, x.clone().requires_grad_()):
        pair = getattr(softtorch, f"{name}_st")(given, method=method, **ALONG_DIM[name])
        assert identical(pair.values.detach(), hard.values) and identical(pair.indices, hard.indices)


@pytest.mark.parametrize("name", TORCH_ALONG_DIM)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_values_along_a_dim_are_torchs_bit_for_bit(name, dtype):
    rows = [
        [0.5, -1.0, 3.0, 2.0],
        [INF, 0.0, -INF, 1.0],
        [1.0, 1.0, -1.0, -1.0],
        [-INF, -INF, INF, INF],
        [-0.0, 1.0, 2.0, -3.0],
    ]
    x = torch.tensor(rows, dtype=dtype, requires_grad=True)
    out = getattr(softtorch, f"{name}_st")(x, **ALONG_DIM[name]).values
    assert identical(out.detach(), TORCH_ALONG_DIM[name](x.detach()))


def test_binning_is_torchs():
    edges_of_bins = torch.tensor([0.0, 1.0, 2.0])
    x = torch.tensor([-1.0, 0.5, 1.5, 9.0], requires_grad=True)
    for out in (softtorch.searchsorted_st(edges_of_bins, x), softtorch.bucketize_st(x, edges_of_bins)):
        assert torch.equal(out.argmax(-1), torch.bucketize(x, edges_of_bins))
        assert torch.autograd.grad((out * torch.arange(4.0)).sum(), x)[0].any()
    out = softtorch.histc_st(x, bins=4, min=0.0, max=2.0)
    assert torch.equal(out.detach(), torch.histc(x.detach(), 4, 0.0, 2.0))


def hot(index, n):
    return torch.nn.functional.one_hot(index, n).float()


def soft_index(*shape):
    return torch.softmax(torch.randn(shape, generator=torch.Generator().manual_seed(7)), -1).requires_grad_()


WILD = torch.tensor([[-0.0, INF, 2.0, NAN], [1.0, -INF, 0.0, 3.0], [5.0, 6.0, -7.0, -0.0]])
SELECTIONS = {
    "where": (lambda s: (s, WILD, WILD.flip(1)), lambda h: torch.where(h, WILD, WILD.flip(1)), (3, 4), False),
    "masked_fill": (lambda s: (WILD, s, -INF), lambda h: WILD.masked_fill(h, -INF), (3, 4), False),
    "take_along_dim": (lambda s: (WILD, s, 1), lambda i: torch.take_along_dim(WILD, i, 1), (3, 2, 4), True),
    "gather": (lambda s: (WILD, 1, s), lambda i: torch.gather(WILD, 1, i), (2, 2, 4), True),
    "take": (lambda s: (WILD, s, 1), lambda i: WILD[:, i], (5, 2, 4), True),
    "index_select": (lambda s: (WILD, s, 0), lambda i: WILD.index_select(0, i), (2, 3), True),
    "narrow": (lambda s: (WILD, s, 2, 1), lambda i: WILD.roll(-int(i), 1)[:, :2], (4,), True),
    "choose": (lambda s: (s, WILD), lambda i: WILD.gather(0, i[None])[0], (4, 3), True),
    "embedding": (lambda s: (s, WILD), lambda i: WILD[i], (2, 5, 3), True),
    "scatter": (lambda s: (WILD, 1, s, WILD), lambda i: WILD.scatter(1, i, WILD), (3, 1, 4), True),
    "scatter_add": (lambda s: (WILD, 1, s, WILD), lambda i: WILD.scatter_add(1, i, WILD), (3, 2, 4), True),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_selections_are_torchs_at_the_most_likely_choice(name):
    arguments, hard, shape, is_index = SELECTIONS[name]
    p = soft_index(*shape) if is_index else torch.rand(shape, requires_grad=True)
    out = getattr(softtorch, f"{name}_st")(*arguments(p))
    assert identical(out.detach(), hard(p.argmax(-1) if is_index else p > 0.5))
    soft = getattr(softtorch, name)(*arguments(p))
    finite = soft.isfinite() & out.isfinite()
    grads = [torch.autograd.grad(torch.where(finite, o, 0.0).sum(), p)[0] for o in (out, soft)]
    assert torch.equal(*grads)


def test_dynamic_slice_and_reductions_and_logic():
    x = torch.randn(3, 4)
    starts = [soft_index(3), soft_index(4)]
    i, j = (int(s.argmax()) for s in starts)
    assert identical(softtorch.dynamic_slice_st(x, starts, (2, 3)).detach(), x.roll((-i, -j), (0, 1))[:2, :3])
    mask = torch.rand(3, 4, requires_grad=True)
    hard = mask > 0.5
    assert torch.allclose(softtorch.masked_sum_st(x, mask), x[hard].sum())
    assert torch.allclose(softtorch.masked_mean_st(x, mask), x[hard].mean())
    other = torch.rand(3, 4)
    for name in ("and", "or", "xor"):
        out = getattr(softtorch, f"logical_{name}_st")(mask, other)
        assert torch.equal(out.detach(), getattr(torch, f"logical_{name}")(hard, other > 0.5).float())
        soft = getattr(softtorch, f"logical_{name}")(mask, other)
        assert torch.equal(*(torch.autograd.grad(o.sum(), mask)[0] for o in (out, soft)))
    assert torch.equal(softtorch.all_st(mask, 1).detach(), hard.all(1).float())
    assert torch.equal(softtorch.any_st(mask, None, keepdim=True).detach(), hard.any().float().reshape(1, 1))
    assert torch.equal(softtorch.logical_not_st(mask).detach(), (~hard).float())


def test_nothing_soft_runs_where_gradients_are_disabled(monkeypatch):
    for name in ("sigmoidal", "softrelu", "sign", "density", "project", "softabs", "ramp_of"):
        monkeypatch.setattr(f"softtorch.modes.smooth.Smooth.{name}", lambda *a: pytest.fail("ran"), raising=False)
    x = torch.randn(3, 5)
    with torch.no_grad():
        for name in POINTWISE_HARD:
            getattr(softtorch, f"{name}_st")(x, *OPTIONS.get(name, ()))
        for name in PAIR_HARD:
            getattr(softtorch, f"{name}_st")(x, x)
        for name, options in ALONG_DIM.items():
            getattr(softtorch, f"{name}_st")(x, **options)
        assert softtorch.where_st(torch.rand(3, 5), x, x).dtype == torch.float32


def test_gradients_stay_finite_next_to_infinities_and_nan():
    x = torch.tensor([1.0, INF, -INF, NAN, -2.5], requires_grad=True)
    finite = x.isfinite()
    for name in [*POINTWISE_HARD, "heaviside"]:
        out = getattr(softtorch, f"{name}_st")(x, *OPTIONS.get(name, ()))
        assert torch.autograd.grad(out.nan_to_num(0, 0, 0).sum(), x)[0][finite].isfinite().all(), name
    for name in PAIR_HARD:
        out = getattr(softtorch, f"{name}_st")(x, x.detach().flip(0))
        assert torch.autograd.grad(out.nan_to_num(0, 0, 0).sum(), x)[0][finite].isfinite().all(), name


def test_every_operator_has_its_form_with_its_signature_and_a_docstring():
    skipped = {"st", "grad_replace", "straight_through", "perturbed", "resolve_estimator"}
    skipped |= {"gate", "mixed_gates", "smooth_step", "selector", "softpick", "softpick_attention", "entmax"}
    skipped |= {"sparsemax", "reinmax", "rotation", "laplace_quantile", "implicit_root"}
    skipped |= {"nan_to_num", "options", "supported"}
    public = {n: f for n, f in vars(softtorch).items() if not n.startswith("_") and not n.endswith("_st")}
    functions = {n: f for n, f in public.items() if inspect.isfunction(f)}
    for name, function in functions.items():
        if name in skipped or function.__module__.startswith("softtorch.errors"):
            continue
        straight = getattr(softtorch, f"{name}_st")
        assert inspect.signature(straight) == inspect.signature(function)
        assert name in straight.__doc__ or name in {"gt", "ge", "lt", "le", "ne"}
    assert set(operators_st.__all__) <= set(vars(softtorch))


def test_one_hot_and_bincount_count_the_most_likely_classes():
    p = soft_index(6, 4)
    winners = p.argmax(-1)
    assert torch.equal(softtorch.one_hot_st(p, 5).detach(), hot(winners, 5))
    out = softtorch.bincount_st(p, minlength=5)
    assert torch.equal(out.detach(), torch.bincount(winners, minlength=5).float())
    assert torch.autograd.grad(out[0], p)[0].sum() == 6


@pytest.mark.parametrize("name", ["relu", "round", "greater", "argmax", "max", "rank"])
def test_transforms_see_through(name):
    fn = getattr(softtorch, f"{name}_st")

    def call(x):
        result = fn(x, 0.3) if name == "greater" else fn(x, dim=-1) if name in ALONG_DIM else fn(x)
        return tensors(result)[0]

    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.allclose(torch.func.vmap(call)(x), call(x))
    assert torch.allclose(torch.compile(call, fullgraph=True, backend="aot_eager")(x), call(x))
    leaf = x.clone().requires_grad_()
    want = torch.autograd.grad(call(leaf).square().sum(), leaf)[0]
    assert torch.allclose(torch.func.grad(lambda x: call(x).square().sum())(x), want)


def test_compile_takes_a_selection_whole():
    p, x = torch.rand(3, 5), torch.randn(3, 5)
    compiled = torch.compile(softtorch.where_st, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(p, x, -x), torch.where(p > 0.5, x, -x))


@pytest.mark.parametrize("name", ["abs", "ceil", "floor", "frac", "relu", "round", "sign", "softrelu", "trunc"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_without_derivatives_and_options_the_value_is_that_of_mode_hard(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor([-2.5, -0.5, -0.0, 0.5, 1.5, 7.0]).to(dtype)
    hard, straight = getattr(softtorch, name), getattr(softtorch, f"{name}_st")
    calls = [lambda: hard(x, mode="hard"), lambda: straight(x), lambda: straight(x, softness=0.2)]
    with torch.no_grad():
        if name == "frac" and not dtype.is_floating_point:  # torch does not know it
            for call in calls:
                with pytest.raises(OptionError, match="dtype"):
                    call()
            return
        wanted, *found = [call() for call in calls]
    assert all(identical(result, wanted) and result.dtype == wanted.dtype for result in found)
