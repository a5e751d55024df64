"""The systems and papers that this project answers for: each is one call or one policy entry.

One test a technique, in the terms of its source; what the operators and rules promise beyond that is tested where they
are. Third-party packages are skipped where they are missing.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import softfx
import softtorch
from softtorch.methods.sorting_network import SortingNetwork
from tests.packages import imported

X = torch.tensor([0.3, -1.2, 2.0, 0.7, 1.1], dtype=torch.float64)


def grad(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The derivative of sum(w f(x)) for fixed uneven weights w."""
    leaf = x.detach().clone().requires_grad_()
    value = function(leaf)
    weights = torch.arange(1.0, value.numel() + 1, dtype=value.dtype).reshape(value.shape)
    found: Tensor = torch.autograd.grad((value * weights).sum(), leaf)[0]
    return found


# Sorting and choosing


@pytest.mark.parametrize("swap", ["reciprocal", "cauchy", "optimal"])
@pytest.mark.parametrize("layout", ["bitonic", "odd_even"])
def test_monotonic_sorting_networks(swap: str, layout: str) -> None:  # arXiv 2203.09630
    method = SortingNetwork(swap=swap, layout=layout)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: softtorch.sort(x, method=method, standardize=False, return_indices=False).values, X
    )
    assert (jacobian >= -1e-12).all() and (jacobian.sum(dim=-1) > 0.9).all()


def test_an_error_free_swap_keeps_the_values_of_the_hard_sort() -> None:  # Kim et al. 2024
    method = SortingNetwork(error_free=True)

    def ordered(x: Tensor) -> Tensor:
        return softtorch.sort(x, method=method, return_indices=False).values

    assert torch.equal(ordered(X), X.sort().values) and (grad(ordered, X) != 0).all()


def test_topk_by_optimal_transport() -> None:  # arXiv 2002.06504
    mask = softtorch.topk_mask(X, 2, method="ot")
    assert abs(mask.sum() - 2) < 1e-9 and set(mask.topk(2).indices.tolist()) == {2, 4}


@pytest.mark.parametrize("method", ["softsort", "neuralsort", "ot", "sorting_network", "fast_soft_sort", "lapsum"])
def test_every_published_way_to_sort_and_rank(method: str) -> None:
    values = softtorch.sort(X, method=method, softness=1e-3, return_indices=False).values
    ranks = softtorch.rank(X, method=method, softness=1e-3, descending=False)
    assert (values - X.sort().values).abs().max() < 2e-2
    assert (ranks - X.argsort().argsort() - 1).abs().max() < 2e-2
    assert (grad(lambda x: softtorch.rank(x, method=method, softness=1.0), X) != 0).any()


@pytest.mark.parametrize("mode", ["smooth", "c0"])
def test_ranks_by_optimal_transport_are_differentiated_implicitly(mode: str) -> None:  # arXiv 1905.11885
    plan = softtorch.argsort(X, method="ot", mode=mode)
    assert (plan.sum(dim=-1) - 1).abs().max() < 1e-9 and (plan.sum(dim=-2) - 1).abs().max() < 1e-9
    assert torch.autograd.gradcheck(lambda x: softtorch.rank(x, method="ot", mode=mode), X.clone().requires_grad_())


def test_lapsum_is_complete() -> None:  # arXiv 2503.06242
    for op in (softtorch.sort, softtorch.argsort, softtorch.rank):
        op(X, method="lapsum")
    plan = softtorch.argsort(X, method="lapsum")
    assert (plan.sum(dim=-2) - 1).abs().max() < 1e-9  # doubly stochastic
    assert abs(softtorch.topk_mask(X, 2.5, method="lapsum").sum() - 2.5) < 1e-9
    assert softtorch.quantile(X, torch.tensor(0.5, dtype=torch.float64), method="lapsum").shape == ()


def test_projections_give_exact_zeros_and_take_masks() -> None:  # Martins and Astudillo 2016; Peters et al. 2019
    masked = X.masked_fill(torch.tensor([False, False, False, False, True]), -torch.inf)
    for mode in ("c0", "c1", "c2"):
        index = softtorch.argmax(masked.expand(2, 3, 5), mode=mode, standardize=False)
        assert (index == 0).any() and (index[..., 4] == 0).all() and torch.isfinite(index).all()
    assert (softtorch.sparsemax(X) == 0).any() and (softtorch.entmax(X, 1.5) == 0).any()


# Estimators, gates, noise


def test_smooth_rounding() -> None:
    x = torch.tensor([0.4, 0.5, 1.6], dtype=torch.float64)
    assert torch.equal(softtorch.round_st(x), x.round()) and (grad(softtorch.round, x) > 0).all()


def test_logic_gates_and_their_layer() -> None:  # arXiv 2210.08277
    assert len(softtorch.GATES) == 16
    bits = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    tables = {tuple(softtorch.gate(name, bits[:, 0], bits[:, 1]).tolist()) for name in softtorch.GATES}
    assert len(tables) == 16
    layer = softtorch.LogicLayer(4, 8, straight_through=True, generator=torch.Generator().manual_seed(0))
    out = layer(torch.randint(0, 2, (5, 4)).float())
    assert set(out.detach().unique().tolist()) <= {0.0, 1.0}
    out.sum().backward()
    assert all(parameter.grad is not None and (parameter.grad != 0).any() for parameter in layer.parameters())


@pytest.mark.parametrize("estimator", ["identity", "soft", "reinmax", "gumbel"])
def test_straight_through_estimators_of_a_policy(estimator: str) -> None:  # arXiv 1308.3432, 2304.08612, 1611.01144
    op = "sign" if estimator == "identity" else "argmax"
    values = torch.arange(5.0)

    def hard(x: Tensor) -> Tensor:
        return x.sign() if op == "sign" else values[x.argmax()]

    policy = {"rule": [{"op": op, "action": "straight_through", "estimator": estimator}]}
    soft = softfx.soften(hard, policy, example_inputs=(X.float(),))
    torch.manual_seed(0)
    assert (grad(soft, X.float()) != 0).any()
    if estimator != "gumbel":  # which draws, so that its value is that of the draw
        assert torch.equal(soft(X.float()), hard(X.float()))


def test_smooth_step_gates_choose_softly() -> None:  # arXiv 2106.03760
    assert softtorch.smooth_step(torch.tensor([-2.0, 0.0, 2.0])).tolist() == [0.0, 0.5, 1.0]
    bits = torch.tensor([0.2, -3.0], dtype=torch.float64)  # one bit undecided, one decided: two of four
    chosen = softtorch.selector(bits, 4)
    assert chosen.shape == (4,) and abs(chosen.sum() - 1) < 1e-12 and (chosen == 0).sum() == 2


def test_gumbel_topk_permutations_and_resampling() -> None:  # arXiv 1903.06059
    generator = torch.Generator().manual_seed(0)
    weights, counts = X.softmax(0), torch.zeros(5, dtype=torch.float64)
    for _ in range(200):  # three of five without replacement: Gumbel top-k
        chosen = softtorch.choice(torch.eye(5, dtype=X.dtype), 3, False, weights, softness=1e-3, generator=generator)
        counts += chosen.sum(dim=0)
    assert counts.max() <= 200 + 1e-6 and counts.argsort().tolist() == X.argsort().tolist()

    def resampled(p: Tensor) -> Tensor:
        return softtorch.choice(X, 4, True, p, generator=torch.Generator().manual_seed(1))

    assert resampled(weights).shape == (4,) and (grad(resampled, weights) != 0).any()
    assert softtorch.permutation(X, logits=X, generator=generator).shape == X.shape


def test_perturbed_optimizers() -> None:  # arXiv 2002.08676
    def choose(x: Tensor) -> Tensor:
        return F.one_hot(x.argmax(-1), x.shape[-1]).to(x.dtype)

    generator = torch.Generator().manual_seed(0)
    smoothed = softtorch.perturbed(choose, num_samples=1000, softness=0.5, generator=generator)
    assert (grad(smoothed, X) != 0).any() and abs(smoothed(X).sum() - 1) < 1e-9


def test_activations_by_policy() -> None:  # arXiv 2109.13210, 1606.08415
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    for fields, expected in (
        ({"gaussian": True, "softness": 0.5}, softtorch.gaussian_relu(x, 0.5)),
        ({"gated": True, "softness": 1.0}, F.silu(x)),
    ):
        policy = {"rule": [{"op": "relu", "action": "soft", **fields}]}
        assert torch.allclose(softfx.soften(nn.ReLU(), policy, example_inputs=(x,))(x), expected, atol=1e-12)


def test_implicit_differentiation() -> None:  # arXiv 2105.15183
    @softtorch.implicit_root(lambda y, x: y**3 - x)
    def cube_root(x: Tensor) -> Tensor:
        return x.abs() ** (1 / 3) * x.sign()

    x = torch.tensor([0.5, 8.0], dtype=torch.float64)
    assert torch.allclose(grad(cube_root, x), torch.tensor([1.0, 2.0]) * (x ** (-2 / 3)) / 3)


# Models of other packages


def test_softpick_in_place_of_softmax_attention() -> None:  # arXiv 2504.20966
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 5, 8)
    soft = softfx.soften(layer, {"rule": [{"op": "@normalization", "action": "soft"}]}, example_inputs=(x,))
    assert not torch.allclose(soft(x), layer(x))
    weights = softtorch.softpick(torch.tensor([[1.0, 2.0, -1.0]]), variant="rectified")
    assert weights[0, 2] == 0 and weights.sum() < 1  # exact zeros, and no need to sum to 1
    assert softtorch.softpick_attention(x, x, x, is_causal=True).shape == x.shape


def test_the_rotation_trick_on_a_third_party_quantizer() -> None:  # arXiv 2410.06424
    package = imported("vector_quantize_pytorch")
    torch.manual_seed(0)
    model = package.VectorQuantize(dim=4, codebook_size=8, rotation_trick=False, ema_update=False)
    x = torch.randn(1, 6, 4)
    entry = {"op": "existing_straight_through", "action": "straight_through", "estimator": "rotation"}
    example = x.clone().requires_grad_()  # the package asks for this before it goes straight through
    soft = softfx.soften(model, {"preset": "keep", "rule": [entry]}, example_inputs=(example,))
    assert torch.equal(soft(example)[0], model(example)[0])
    assert not torch.allclose(grad(lambda v: soft(v)[0], x), grad(lambda v: model(v)[0], x))


@pytest.mark.parametrize("name", ["accuracy", "f1", "jaccard", "auroc", "spearman", "ndcg"])
def test_metrics_become_losses(name: str) -> None:
    metrics = imported("torchmetrics.functional")
    torch.manual_seed(0)
    scores, labels = torch.rand(24), torch.randint(0, 2, (24,))
    call: Callable[..., Tensor] = {
        "accuracy": metrics.classification.binary_accuracy,
        "f1": metrics.classification.binary_f1_score,
        "jaccard": metrics.classification.binary_jaccard_index,
        "auroc": metrics.classification.binary_auroc,
        "spearman": metrics.spearman_corrcoef,
        "ndcg": metrics.retrieval.retrieval_normalized_dcg,
    }[name]
    target = torch.rand(24) if name == "spearman" else labels
    # AUROC counts under no_grad.
    soft = softfx.soften(call, {"preset": "smooth", "default": {"lift_no_grad": True}}, example_inputs=(scores, target))
    before = call(scores, target)
    moved = scores
    for _ in range(30):
        moved = moved + 0.5 * grad(lambda s: soft(s, target), moved)
        moved = moved.clamp(1e-3, 1 - 1e-3)
    assert call(moved, target) > before


def test_rounding_in_fake_quantization() -> None:
    def fake_quantize(x: Tensor, scale: Tensor) -> Tensor:
        return (x / scale).round().clamp(-8, 7) * scale

    x, scale = torch.linspace(-1, 1, 7), torch.tensor(0.1)
    soft = softfx.soften(fake_quantize, "straight-through", example_inputs=(x, scale))
    assert torch.equal(soft(x, scale), fake_quantize(x, scale))
    assert (grad(lambda v: soft(v, scale), x) != 0).any()


def test_maximum_aggregation_over_the_nodes_of_a_graph() -> None:  # arXiv 2006.07739
    def aggregate(x: Tensor, index: Tensor) -> Tensor:
        return x.new_zeros(2).scatter_reduce(0, index, x, "amax", include_self=False)

    index = torch.tensor([0, 0, 1, 1, 1])
    soft = softfx.soften(aggregate, {"preset": "smooth", "rule": [{"op": "scatter_reduce", "action": "soft"}]},
                         example_inputs=(X, index))  # fmt: skip
    assert (grad(lambda x: soft(x, index), X) != 0).all()  # every node, not only the largest


def test_bins_of_a_spline_flow() -> None:
    def spline(x: Tensor, knots: Tensor, slopes: Tensor) -> Tensor:
        return slopes[torch.searchsorted(knots, x) - 1] * x

    knots, slopes = torch.tensor([-2.0, -0.5, 0.5, 2.0]), torch.tensor([1.0, 2.0, 3.0])
    x = torch.tensor([-1.0, 0.1, 1.2])
    soft = softfx.soften(spline, example_inputs=(x, knots, slopes))
    assert torch.equal(soft(x, knots, slopes), spline(x, knots, slopes))
    assert (grad(lambda k: soft(x, k, slopes), knots) != 0).any()


def test_assignments_of_a_clustering() -> None:
    def assign(x: Tensor, centres: Tensor) -> Tensor:
        return centres[torch.cdist(x, centres).argmin(dim=-1)]

    torch.manual_seed(0)
    x, centres = torch.randn(6, 2), torch.randn(3, 2)
    soft = softfx.soften(assign, "smooth", example_inputs=(x, centres))
    assert (grad(lambda v: soft(v, centres), x) != 0).all()


def test_temperatures_follow_a_schedule() -> None:  # arXiv 2410.01104
    soft = softfx.soften(lambda x: F.one_hot(x.argmax(), 5), "smooth", example_inputs=(X,))
    for schedule in (softfx.ExponentialSoftness, softfx.LinearSoftness, softfx.CosineSoftness, softfx.EntropySoftness):
        assert {"step", "state_dict", "load_state_dict"} <= set(dir(schedule))
    schedule = softfx.CosineSoftness(soft, start=1.0, end=0.01, total_iters=4)
    entropies = []
    for _ in range(5):
        index = soft(X)
        entropies.append(float(-(index * index.clamp(min=1e-300).log()).sum()))
        schedule.step()
    assert entropies == sorted(entropies, reverse=True) and entropies[-1] < 0.01 < entropies[0]


def test_the_report_says_what_is_undefined_zero_or_exploding() -> None:
    def mixed(x: Tensor) -> Tensor:
        return x.sqrt() + x.round() + x.abs()

    text = str(softfx.check(mixed, example_inputs=(X.abs(),)))
    for word in ("infinite", "zero", "undefined"):
        assert word in text
