"""Contracts I1 to I4 and I7 on small programs: identity, straight-through, limit, accounting, same module."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.softfx.cases import CASES

EXECUTORS = ("graph", "eager")
SOFT = {"version": 1, "default": {"action": "soft", "families": ["discrete"], "mode": "smooth"}}


def tensors(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


def outcome(function: Any, inputs: tuple[Any, ...]) -> tuple[list[Tensor], list[Tensor | None]]:
    """Results, and the gradients of a weighted sum of them with respect to float inputs and parameters."""
    inputs = tuple(x.clone().requires_grad_(x.is_floating_point()) for x in inputs)
    sources = [x for x in inputs if x.requires_grad]
    sources += list(function.parameters()) if isinstance(function, nn.Module) else []
    results = tensors(function(*inputs))
    generator = torch.Generator().manual_seed(1)
    losses = [
        (r * torch.randn(r.shape, generator=generator)).sum()
        for r in results
        if r.is_floating_point() and r.requires_grad
    ]
    gradients = torch.autograd.grad(sum(losses), sources, allow_unused=True) if losses else [None] * len(sources)  # type: ignore[arg-type]
    return [r.detach() for r in results], list(gradients)


def identical(x: Tensor, y: Tensor) -> bool:
    """Bit for bit: dtype, NaN where NaN, the sign of zero."""
    if x.dtype != y.dtype or x.shape != y.shape:
        return False
    if not x.is_floating_point():
        return torch.equal(x, y)
    return bool((((x == y) & (x.signbit() == y.signbit())) | (x.isnan() & y.isnan())).all())


@pytest.mark.parametrize("name", CASES)
def test_a_policy_that_keeps_everything_changes_neither_results_nor_gradients(name: str) -> None:
    target, inputs = CASES[name]()
    soft = softfx.soften(target, "keep", example_inputs=inputs)
    (results, gradients), (soft_results, soft_gradients) = outcome(target, inputs), outcome(soft, inputs)
    assert all(map(identical, results, soft_results))
    for g, s in zip(gradients, soft_gradients, strict=True):
        assert (g is None) == (s is None) and (g is None or torch.equal(g, s))


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", CASES)
def test_straight_through_keeps_every_bit_and_brings_finite_gradients(name: str, executor: str) -> None:
    target, inputs = CASES[name]()
    soft = softfx.soften(target, "straight-through", example_inputs=inputs, executor=executor)
    (results, gradients), (soft_results, soft_gradients) = outcome(target, inputs), outcome(soft, inputs)
    assert all(map(identical, results, soft_results))
    with torch.no_grad():
        assert all(map(identical, results, tensors(soft(*inputs))))
    for before, after in zip(gradients, soft_gradients, strict=True):
        assert after is not None and torch.isfinite(after).all()
        assert before is None or not before.any() or after.any()
    assert any(bool(after.any()) for after in soft_gradients if after is not None)


@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth"])
@pytest.mark.parametrize("name", CASES)
def test_both_executors_give_the_same_values_and_gradients(name: str, policy: str) -> None:
    target, inputs = CASES[name]()
    graph, eager = (softfx.soften(target, policy, example_inputs=inputs, executor=e) for e in EXECUTORS)
    (a, g), (b, h) = outcome(graph, inputs), outcome(eager, inputs)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    # The two tapes may add the same terms in another order: a few units in the last place of float32.
    assert all(x is y or torch.allclose(x, y, rtol=1e-5, atol=1e-6) for x, y in zip(g, h, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_soft_results_tend_to_the_original_as_softness_falls(name: str) -> None:
    target, inputs = CASES[name]()
    # Unstandardized: standardizing divides by a spread that a mask of -1e6 dominates, and float32 ends before softness.
    policy = {"default": SOFT["default"] | {"standardize": False}}
    soft = softfx.soften(target, policy, example_inputs=inputs)
    hard = [r.float() for r in tensors(target(*inputs))]
    distances = []
    for softness in (0.1, 1e-4):
        softfx.set_softness(soft, softness)
        distances.append(
            max(float((r - h).abs().max().detach()) for r, h in zip(tensors(soft(*inputs)), hard, strict=True))
        )
    # At 1e-4 every random gap is hundreds of softnesses wide; what is left is float32 rounding.
    assert distances[1] < 1e-3 and distances[1] <= distances[0] + 1e-6


@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth", "keep"])
@pytest.mark.parametrize("name", CASES)
def test_every_site_has_one_decision_and_a_place_in_the_users_code(name: str, policy: str) -> None:
    target, inputs = CASES[name]()
    report = softfx.soften(target, policy, example_inputs=inputs).report.to_dict()
    counts = dict(report["counts"])
    assert counts.pop("found") == sum(counts.values()) == len(report["sites"]) > 0
    for site in report["sites"]:
        assert site["file"].endswith(("cases.py", "test_contracts.py")) and site["line"] > 0 and site["source"]
        assert site["action"] in ("soft", "straight_through", "guard", "keep", "blocked")
        assert site["reason"] or site["action"] not in ("keep", "blocked")


@pytest.mark.parametrize("name", ["sequential", "router", "quantizer", "tree", "in_place"])
def test_the_softened_module_is_the_same_module(name: str) -> None:
    target, inputs = CASES[name]()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    soft = softfx.soften(target, "smooth", example_inputs=inputs)
    assert isinstance(soft, type(target)) and softfx.harden(soft) is target
    assert list(soft.state_dict()) == list(before)
    assert all(a is b for a, b in zip(soft.parameters(), target.parameters(), strict=True))
    assert all(torch.equal(target.state_dict()[key], value) for key, value in before.items())
    soft.eval()
    assert not soft.training and type(target).forward is type(softfx.harden(soft)).forward
    soft.load_state_dict(before)


def test_the_contact_function_gives_every_unmasked_vertex_a_gradient() -> None:
    function, (poly, mask, normal) = CASES["contact"]()
    poly.requires_grad_()
    assert torch.autograd.grad(function(poly, mask, normal).sum(), poly)[0][mask].eq(0).any()
    soft = softfx.soften(function, "smooth", example_inputs=(poly, mask, normal))
    (gradient,) = torch.autograd.grad(soft(poly, mask, normal).sum(), poly)
    assert torch.isfinite(gradient).all() and gradient[mask].ne(0).all(1).all()
    straight = softfx.soften(function, example_inputs=(poly, mask, normal))
    assert identical(straight(poly, mask, normal).detach(), function(poly, mask, normal).detach())


def test_the_product_of_two_masks_has_the_derivative_of_the_product() -> None:
    """The pitfall: two factors made straight-through one by one give f' g_hard + f_hard g'."""

    def product(x: Tensor) -> Tensor:
        return (x > 0).float() * (x < 1).float()

    x = torch.linspace(-0.3, 1.3, 9)
    region = {"default": {"action": "straight_through", "softness": 0.5}}
    operation = {"default": {"action": "straight_through", "softness": 0.5, "scope": "operation"}}
    soft = {"default": {"action": "soft", "softness": 0.5}}
    gradients = {}
    for name, policy in (("region", region), ("operation", operation), ("soft", soft)):
        for executor in EXECUTORS:
            leaf = x.clone().requires_grad_()
            value = softfx.soften(product, policy, example_inputs=(x,), executor=executor)(leaf)
            if name != "soft":
                assert torch.equal(value, product(x))
            gradients[name, executor] = torch.autograd.grad(value.sum(), leaf)[0]
    for executor in EXECUTORS:
        assert torch.allclose(gradients["region", executor], gradients["soft", executor])
        assert not torch.allclose(gradients["operation", executor], gradients["soft", executor], atol=1e-2)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_statistics_move_once_per_call(training: bool) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()).train(training)
    x = torch.randn(6, 4)
    reference = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()).train(training)
    reference.load_state_dict(layers.state_dict())
    soft = softfx.soften(layers, "straight-through", example_inputs=(x,))
    assert torch.equal(layers[1].running_mean, reference[1].running_mean)
    assert torch.equal(soft(x), reference(x))
    assert torch.equal(layers[1].running_mean, reference[1].running_mean)
    assert torch.equal(layers[1].num_batches_tracked, reference[1].num_batches_tracked)
