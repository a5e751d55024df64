"""Contracts I1 to I4 and I7 on small programs: identity, straight-through, limit, accounting, same module."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.helpers import EXECUTORS, assert_same, gradient, identical, leaves, outcome
from tests.softfx.cases import CASES

SOFT = {"version": 1, "default": {"action": "soft", "families": ["discrete"], "mode": "smooth"}}


@pytest.mark.parametrize("name", CASES)
def test_a_policy_that_keeps_everything_changes_neither_results_nor_gradients(name: str) -> None:
    target, inputs = CASES[name]()
    soft = softfx.soften(target, "keep", example_inputs=inputs)
    assert_same(outcome(soft, inputs), outcome(target, inputs))


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", CASES)
def test_straight_through_keeps_every_bit_and_brings_finite_gradients(name: str, executor: str) -> None:
    target, inputs = CASES[name]()
    soft = softfx.soften(target, "straight-through", example_inputs=inputs, executor=executor)
    original, softened = outcome(target, inputs), outcome(soft, inputs)
    assert all(map(identical, softened.results, original.results))
    with torch.no_grad():
        assert all(map(identical, leaves(soft(*inputs)), original.results))
    for before, after in zip(original.gradients, softened.gradients, strict=True):
        assert after is not None and torch.isfinite(after).all()
        assert before is None or not before.any() or after.any()
    assert any(bool(after.any()) for after in softened.gradients if after is not None)


@pytest.mark.parametrize("policy", ["gradients", "straight-through", "smooth"])
@pytest.mark.parametrize("name", CASES)
def test_both_executors_give_the_same_values_and_gradients(name: str, policy: str) -> None:
    target, inputs = CASES[name]()
    graph, eager = (softfx.soften(target, policy, example_inputs=inputs, executor=e) for e in EXECUTORS)
    a, b = outcome(graph, inputs), outcome(eager, inputs)
    assert all(torch.equal(x, y) for x, y in zip(a.results, b.results, strict=True))
    # The two tapes may add the same terms in another order: a few units in the last place of float32.
    assert all(
        x is y or torch.allclose(x, y, rtol=1e-5, atol=1e-6) for x, y in zip(a.gradients, b.gradients, strict=True)
    )


@pytest.mark.parametrize("name", CASES)
def test_soft_results_tend_to_the_original_as_softness_falls(name: str) -> None:
    target, inputs = CASES[name]()
    # Unstandardized: standardizing divides by a spread that a mask of -1e6 dominates, and float32 ends before softness.
    policy = {"default": SOFT["default"] | {"standardize": False}}
    soft = softfx.soften(target, policy, example_inputs=inputs)
    hard = [r.float() for r in leaves(target(*inputs))]
    distances = []
    for softness in (0.1, 1e-4):
        softfx.set_softness(soft, softness)
        distances.append(
            max(float((r - h).abs().max().detach()) for r, h in zip(leaves(soft(*inputs)), hard, strict=True))
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
    assert gradient(function, poly, mask, normal)[mask].eq(0).any()
    soft = softfx.soften(function, "smooth", example_inputs=(poly, mask, normal))
    found = gradient(soft, poly, mask, normal)
    assert torch.isfinite(found).all() and found[mask].ne(0).all(1).all()
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
            soft_product = softfx.soften(product, policy, example_inputs=(x,), executor=executor)
            if name != "soft":
                assert torch.equal(soft_product(x), product(x))
            gradients[name, executor] = gradient(soft_product, x)
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
