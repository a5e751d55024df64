"""What the operators themselves add to a method: shapes, options, positions, precision, gradients."""

import math

import pytest
import torch

import softtorch
from softtorch.methods import METHODS, SoftSort
from softtorch.methods.mirrored import Mirrored
from tests.softtorch.cases import PLAIN_CASES, ROW_CASES, VALUE_CASES, draw, integers, weights_like

REDUCING = ["argmax", "argmin", "argmedian"]


@pytest.mark.parametrize("shape", [(1,), (5,), (3, 4), (0, 4), (2, 3, 4)])
def test_shapes_are_torchs_plus_a_trailing_axis(shape: tuple[int, ...]) -> None:
    x = draw(*shape)
    for dim in range(-len(shape), len(shape)):
        n = shape[dim]
        if n == 0:
            continue
        for keepdim in (False, True):
            reduced = torch.amax(x, dim, keepdim).shape
            for name in REDUCING:
                assert getattr(softtorch, name)(x, dim, keepdim).shape == (*reduced, n)
            for name in ("max", "min", "median"):
                values, index = getattr(softtorch, name)(x, dim, keepdim)
                assert (values.shape, index.shape) == (reduced, (*reduced, n))
            assert softtorch.quantile(x, 0.3, dim, keepdim).shape == reduced
            q = torch.tensor([0.1, 0.5], dtype=x.dtype)
            assert softtorch.quantile(x, q, dim, keepdim).shape == (2, *reduced)
            assert softtorch.argquantile(x, q, dim, keepdim).shape == (2, *reduced, n)
        assert softtorch.argsort(x, dim).shape == (*shape, n)
        assert softtorch.rank(x, dim).shape == shape
        values, index = softtorch.topk(x, 1, dim)
        assert values.shape == torch.topk(x, 1, dim).values.shape
        assert index.shape == (*values.shape, n)
        values, index = softtorch.cummax(x, dim)
        assert (values.shape, index.shape) == (shape, (*shape, n))


def test_zero_dimensional_inputs_work_as_in_torch() -> None:
    x = torch.tensor(3.0)
    assert softtorch.argmax(x).tolist() == [1.0]
    assert softtorch.argmax(x, 0, keepdim=True).tolist() == [1.0]
    assert softtorch.max(x).item() == 3.0
    for pair in (softtorch.sort(x), softtorch.topk(x, 1), softtorch.kthvalue(x, 1, 0), softtorch.cummax(x, 0)):
        assert pair.values.item() == 3.0
        assert pair.indices.tolist() == [1.0]
    assert softtorch.rank(x).item() == 1.0
    assert softtorch.median(x, 0).values.item() == 3.0


def test_empty_axes_sort_to_nothing() -> None:
    x = torch.zeros(2, 0)
    for method in METHODS:
        if METHODS[method].has_values:
            values, index = softtorch.sort(x, method=method)
            assert values.shape == (2, 0)
            assert index is None or index.shape == (2, 0, 0)
        if METHODS[method].has_rank:
            assert softtorch.rank(x, -1, method=method).shape == (2, 0)
    values, index = softtorch.cummax(x, 1)
    assert (values.shape, index.shape) == ((2, 0), (2, 0, 0))
    assert softtorch.topk_mask(x, 0).shape == (2, 0)


def test_dim_none_takes_all_entries() -> None:
    x = draw(3, 4)
    torch.testing.assert_close(softtorch.argmax(x), softtorch.argmax(x.reshape(-1), 0))
    torch.testing.assert_close(softtorch.max(x), softtorch.max(x.reshape(-1), 0).values)
    torch.testing.assert_close(softtorch.rank(x), softtorch.rank(x.reshape(-1), 0))  # flat, as in SoftTorch
    torch.testing.assert_close(softtorch.quantile(x, 0.3), softtorch.quantile(x.reshape(-1), 0.3, 0))
    torch.testing.assert_close(softtorch.topk(x, 2).values, softtorch.topk(x, 2, -1).values)
    assert softtorch.argmax(x, keepdim=True).shape == (1, 1, 12)


@pytest.mark.parametrize(("method", "mode"), ROW_CASES)
def test_every_operator_takes_its_rows_from_the_same_method(method: str, mode: str) -> None:
    x = draw(2, 5)
    options = {"method": method, "mode": mode, "softness": 0.2}
    rows = softtorch.argsort(x, **options)
    ot = method == "ot"  # its anchors depend on the places asked for
    if not ot:
        torch.testing.assert_close(softtorch.argmax(x, 1, **options), rows[:, -1])
        if not isinstance(METHODS[method], Mirrored):
            torch.testing.assert_close(softtorch.argmin(x, 1, **options), rows[:, 0])
        torch.testing.assert_close(softtorch.argmedian(x, 1, **options), rows[:, 2])
        torch.testing.assert_close(softtorch.argquantile(x, 0.4, 1, **options), 0.4 * rows[:, 1] + 0.6 * rows[:, 2])
        torch.testing.assert_close(softtorch.argsort(x, descending=True, **options), rows.flip(1))
    if METHODS[method].pairs_index:
        values, index = softtorch.topk(x, 3, **options)
        torch.testing.assert_close(values, (index * x.unsqueeze(1)).sum(dim=-1))
        if not ot:
            torch.testing.assert_close(index, rows[:, [4, 3, 2]])


@pytest.mark.parametrize(("method", "mode"), VALUE_CASES)
def test_operators_on_values_agree_with_sort(method: str, mode: str) -> None:
    x = draw(2, 6)
    options = {"method": method, "mode": mode, "softness": 0.2}
    if method == "ot":
        return  # its anchors depend on the places asked for
    # fast and smooth sort find the same optimum by other roundings
    close = lambda got, want: torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-7)  # noqa: E731
    values = softtorch.sort(x, **options).values
    close(softtorch.max(x, 1, **options).values, values[:, -1])
    if not isinstance(METHODS[method], Mirrored):
        close(softtorch.min(x, 1, **options).values, values[:, 0])
        close(softtorch.topk(x, 2, largest=False, **options).values, values[:, [0, 1]])
    close(softtorch.median(x, 1, **options).values, values[:, 2])
    close(softtorch.kthvalue(x, 2, 1, **options).values, values[:, 1])
    close(softtorch.topk(x, 2, **options).values, values[:, [5, 4]])
    close(softtorch.quantile(x, 0.3, 1, **options), 0.5 * values[:, 1] + 0.5 * values[:, 2])


def test_pairs_have_torchs_field_names_and_may_go_without_the_index() -> None:
    x = draw(2, 5)
    assert softtorch.sort(x)._fields == ("values", "indices")
    assert softtorch.sort(x, return_indices=False).indices is None
    assert softtorch.sort(x, method="fast_soft_sort").indices is None
    assert softtorch.sort(x, method="sorting_network").indices is None
    assert softtorch.quantile(x, 0.3, 1, return_argquantile=True).indices.shape == (2, 5)
    assert softtorch.percentile(x, 30, 1, method="fast_soft_sort", return_argpercentile=True).indices is None


def test_quantiles_of_a_tensor_are_those_of_the_number_with_a_gradient() -> None:
    x = draw(2, 6)
    q = torch.tensor([0.0, 0.33, 1.0], dtype=torch.float64, requires_grad=True)
    for interpolation in ("linear", "lower", "higher", "midpoint", "nearest"):
        together = softtorch.quantile(x, q, 1, interpolation=interpolation)
        apart = [softtorch.quantile(x, v, 1, interpolation=interpolation) for v in q.tolist()]
        torch.testing.assert_close(together, torch.stack(apart))
    inner = torch.tensor([0.11, 0.33], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q: softtorch.quantile(x, q, 1), (inner,))


def test_quantiles_between_infinities_and_numbers() -> None:
    x = torch.tensor([-torch.inf, 0.0, 1.0, torch.inf, torch.inf])
    for q, want in ((0.0, -torch.inf), (0.25, 0.0), (0.5, 1.0), (0.6, torch.inf), (0.9, torch.inf)):
        for each in (q, torch.tensor(q)):
            assert softtorch.quantile(x, each, mode="c0", softness=1e-3).item() == want


def test_quantiles_at_a_tie_share_their_gradient() -> None:
    x = torch.tensor([0.0, 0.0], dtype=torch.float64, requires_grad=True)
    q = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(softtorch.quantile(x, q, gated_grad=False), x)
    assert gradient.tolist() == [0.5, 0.5]


def test_gated_grad_stops_the_weights_of_the_values_alone() -> None:
    x = draw(2, 5).requires_grad_()
    values, index = softtorch.sort(x, gated_grad=False)
    (gradient,) = torch.autograd.grad(values.sum(), x, retain_graph=True)
    torch.testing.assert_close(gradient, index.detach().sum(dim=-2))
    (through,) = torch.autograd.grad((index * weights_like(index)).sum(), x)
    assert through.abs().max() > 0


@pytest.mark.parametrize("name", ["argmax", "argsort", "cummax"])
@pytest.mark.parametrize(("method", "mode"), PLAIN_CASES)
def test_log_probabilities_are_the_logarithms(name: str, method: str, mode: str) -> None:
    x = draw(2, 4).requires_grad_()
    options = {"method": method, "mode": mode, "dim": -1}
    plain = getattr(softtorch, name)(x, **options)
    logs = getattr(softtorch, name)(x, return_log_probs=True, **options)
    floored = getattr(softtorch, name)(x, return_log_probs=True, log_prob_eps=1e-3, **options)
    if name == "cummax":
        plain, logs, floored = plain.indices, logs.indices, floored.indices
    torch.testing.assert_close(logs.exp(), plain)
    assert ((logs == -math.inf) == (plain == 0)).all()
    raised = plain.clamp(min=1e-3)
    torch.testing.assert_close(floored.exp(), raised / raised.sum(dim=-1, keepdim=True))
    for form in (logs, floored):
        (gradient,) = torch.autograd.grad((form.exp() * weights_like(form)).sum(), x, retain_graph=True)
        assert gradient.isfinite().all()


def test_log_probabilities_of_mixtures_keep_exact_zeros() -> None:
    x = torch.tensor([0.0, 1.0, 2.0, 3.0], requires_grad=True)
    for q in (0.5, torch.tensor(0.5), torch.tensor(1.0)):
        logs = softtorch.argquantile(x, q, mode="c0", softness=0.01, return_log_probs=True)
        torch.testing.assert_close(logs.exp(), softtorch.argquantile(x, q, mode="c0", softness=0.01))
        (gradient,) = torch.autograd.grad(torch.where(logs.isfinite(), logs, 0.0).sum(), x)
        assert gradient.isfinite().all()


def test_softness_may_differ_by_row_and_is_differentiable() -> None:
    x = draw(3, 5)
    softness = torch.tensor([0.05, 0.2, 1.0], dtype=torch.float64, requires_grad=True)
    for method in ("softsort", "neuralsort"):
        together = softtorch.sort(x, softness=softness, method=method).values
        apart = [softtorch.sort(x[i], softness=s, method=method).values for i, s in enumerate(softness.tolist())]
        torch.testing.assert_close(together, torch.stack(apart))
        assert torch.autograd.gradcheck(lambda s, m=method: softtorch.rank(x, -1, softness=s, method=m), (softness,))
    moved = softtorch.sort(x.T, 0, softness=softness).values
    torch.testing.assert_close(moved, softtorch.sort(x, softness=softness).values.T)


def test_a_method_may_be_an_instance_and_a_mode_an_object() -> None:
    x = draw(2, 5)
    got = softtorch.argmax(x, 1, method=SoftSort(), mode=softtorch.modes.C1)
    torch.testing.assert_close(got, softtorch.argmax(x, 1, method="softsort", mode="c1"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("method", "mode"), PLAIN_CASES)
def test_half_precision_is_float32_rounded_once(dtype: torch.dtype, method: str, mode: str) -> None:
    x = draw(3, 6, dtype=dtype)
    for name in ("argsort", "rank"):
        got = getattr(softtorch, name)(x, dim=-1, method=method, mode=mode)
        want = getattr(softtorch, name)(x.float(), dim=-1, method=method, mode=mode)
        assert got.dtype == dtype
        torch.testing.assert_close(got, want.to(dtype), rtol=0, atol=0)
    assert softtorch.max(x, 1, method=method, mode=mode).values.dtype == dtype


def test_autocast_changes_nothing() -> None:
    x = draw(3, 6, dtype=torch.float32)
    want = softtorch.sort(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = softtorch.sort(x)
    torch.testing.assert_close(got.values, want.values, rtol=1e-6, atol=1e-6)  # sums in another order
    assert got.values.dtype == torch.float32


def test_integers_are_computed_in_the_default_dtype() -> None:
    values, index = softtorch.sort(torch.tensor([3, 1, 2]))
    assert (values.dtype, index.dtype) == (torch.float32, torch.float32)


@pytest.mark.parametrize(("method", "mode"), PLAIN_CASES)
def test_infinite_entries_take_the_outer_places(method: str, mode: str) -> None:
    inf = math.inf
    x = torch.tensor([[1.0, -inf, 3.0, inf, 2.0, -inf]], requires_grad=True)
    values, index = softtorch.sort(x, method=method, mode=mode, softness=0.01)
    # the smooth mode leaves e^-10 or so to the neighbours
    torch.testing.assert_close(values, torch.tensor([[-inf, -inf, 1.0, 2.0, 3.0, inf]]), rtol=0, atol=1e-4)
    assert (index[0, 2:5][:, [1, 3, 5]] == 0).all()
    torch.testing.assert_close(index[0, 0], torch.tensor([0, 0.5, 0, 0, 0, 0.5]))
    ranks = softtorch.rank(x, -1, method=method, mode=mode, softness=0.01, descending=False)
    torch.testing.assert_close(ranks, torch.tensor([[3.0, 1.5, 5.0, 6.0, 4.0, 1.5]]), rtol=0, atol=1e-4)
    finite = torch.where(values.isfinite(), values, 0.0)
    loss = (finite * weights_like(values)).sum() + (index * weights_like(index)).sum() + ranks.square().sum()
    (gradient,) = torch.autograd.grad(loss, x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("method", "mode"), PLAIN_CASES)
def test_masks_near_the_end_of_the_range_come_back_as_torch_has_them(method: str, mode: str) -> None:
    low = torch.finfo(torch.float32).min
    x = torch.tensor([1.0, low, 3.0, 0.9 * low, 2.0], requires_grad=True)
    values = softtorch.sort(x, method=method, mode=mode).values
    assert values[:2].tolist() == [low, x[3].item()]
    (gradient,) = torch.autograd.grad(values[:2].sum(), x)
    assert gradient.tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(("method", "mode"), PLAIN_CASES)
def test_a_row_of_nothing_but_infinities_is_even(method: str, mode: str) -> None:
    x = torch.full((1, 3), -math.inf, requires_grad=True)
    values, index = softtorch.max(x, 1, method=method, mode=mode)
    assert values.item() == -math.inf
    torch.testing.assert_close(index, torch.full((1, 3), 1 / 3))
    running = softtorch.cummax(x, 1, method=method, mode=mode).indices
    torch.testing.assert_close(running[0, 1], torch.tensor([0.5, 0.5, 0.0]))


@pytest.mark.parametrize(("method", "mode"), PLAIN_CASES)
def test_nan_spoils_its_row_alone(method: str, mode: str) -> None:
    x = torch.tensor([[0.0, math.nan, 1.0], [0.0, 2.0, 1.0]])
    rows = softtorch.argsort(x, method=method, mode=mode)
    assert rows[0].isnan().all()
    assert rows[1].isfinite().all()


@pytest.mark.parametrize(("method", "mode"), [c for c in PLAIN_CASES if c[1] != "c0"])
def test_second_derivatives_exist_where_the_mode_has_them(method: str, mode: str) -> None:
    x = draw(5).requires_grad_()
    fn = lambda x: softtorch.sort(x, softness=0.3, mode=mode, method=method).values * weights_like(x)  # noqa: E731
    assert torch.autograd.gradcheck(fn, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(fn, (x,))


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_running_extrema_tend_to_torchs_and_see_no_future(name: str) -> None:
    x = draw(2, 6).requires_grad_()
    for mode in ("smooth", "c1"):
        values, index = getattr(softtorch, name)(x, 1, softness=1e-3, mode=mode)
        torch.testing.assert_close(values, getattr(torch, name)(x, 1).values, rtol=0, atol=1e-3)
        assert (index.triu(1) == 0).all()
        torch.testing.assert_close(index.sum(dim=-1), torch.ones_like(values))
        fn = lambda x, m=mode: getattr(softtorch, name)(x, 1, softness=0.2, mode=m).values  # noqa: E731
        assert torch.autograd.gradcheck(fn, (x,))


@pytest.mark.parametrize("mode", ["smooth", "c0", "c1", "c2"])
def test_bins_are_distributions_that_tend_to_torchs(mode: str) -> None:
    boundaries = torch.tensor([-1.0, 0.0, 0.7], dtype=torch.float64, requires_grad=True)
    x = draw(3, 5).requires_grad_()
    rows = softtorch.bucketize(x, boundaries, softness=0.3, mode=mode)
    assert (rows >= 0).all()
    torch.testing.assert_close(rows.sum(dim=-1), torch.ones_like(x))
    sharp = softtorch.bucketize(x, boundaries, softness=1e-4, mode=mode)
    torch.testing.assert_close(sharp, softtorch.bucketize(x, boundaries, mode="hard"), rtol=0, atol=1e-6)
    assert torch.autograd.gradcheck(lambda x, b: softtorch.bucketize(x, b, 0.3, mode), (x, boundaries))


def test_bins_of_infinite_numbers_are_the_outer_ones_with_a_finite_gradient() -> None:
    x = torch.tensor([-math.inf, math.inf, 0.5], requires_grad=True)
    softness = torch.tensor(0.1, requires_grad=True)
    boundaries = torch.tensor([-math.inf, 0.0, 1.0, math.inf])
    rows = softtorch.bucketize(x, boundaries, softness)
    assert rows[0].tolist() == [1, 0, 0, 0, 0]  # a boundary that is met belongs above, as in torch
    assert rows[1].tolist() == [0, 0, 0, 1, 0]
    for gradient in torch.autograd.grad((rows * weights_like(rows)).sum(), (x, softness)):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("mode", ["smooth", "c1"])
def test_histograms_tend_to_torchs_and_keep_the_count_when_they_span_the_data(mode: str) -> None:
    x = draw(40)
    sharp = softtorch.histc(x, 6, -2, 2, softness=1e-5, mode=mode)
    torch.testing.assert_close(sharp, torch.histc(x, 6, -2, 2), rtol=0, atol=1e-3)
    torch.testing.assert_close(softtorch.histc(x, 6, softness=1e-5, mode=mode), torch.histc(x, 6), rtol=0, atol=1e-3)
    assert softtorch.histc(x, 6, softness=0.5, mode=mode).sum().item() == pytest.approx(40)
    assert softtorch.histc(torch.full((3,), 2.0), 3).sum().item() == pytest.approx(3)
    between = softtorch.histc(x, 6, torch.tensor(-2.0), 2, softness=0.2, mode=mode)
    torch.testing.assert_close(between, softtorch.histc(x, 6, -2, 2, softness=0.2, mode=mode))
    same = softtorch.histc(x, 6, torch.tensor(0.0), torch.tensor(0.0), softness=1e-5, mode=mode)
    torch.testing.assert_close(same[1:-1], torch.histc(x, 6)[1:-1], rtol=0, atol=1e-3)  # the ends are half outside
    assert torch.autograd.gradcheck(
        lambda x: softtorch.histc(x, 4, softness=0.3, mode=mode), (draw(6).requires_grad_(),)
    )


def test_masks_take_a_learnable_real_k_for_each_row() -> None:
    x = draw(3, 6).requires_grad_()
    k = torch.tensor([1.0, 2.5, 4.0], dtype=torch.float64, requires_grad=True)
    mask = softtorch.topk_mask(x, k)
    torch.testing.assert_close(mask.sum(dim=-1), k)
    assert torch.autograd.gradcheck(lambda x, k: softtorch.topk_mask(x, k), (x, k))


def test_ties_share_evenly() -> None:
    x = torch.tensor([1.0, 1.0, 0.0])
    for method, mode in PLAIN_CASES:
        rows = softtorch.argmax(x, method=method, mode=mode)
        assert rows[0] == rows[1]
        values = softtorch.sort(integers(2, 6), method=method, mode=mode).values
        assert values.isfinite().all()
