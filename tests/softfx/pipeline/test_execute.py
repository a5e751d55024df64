"""Contracts I8 and I9: whatever is done to a softened thing, it stays soft, value and gradient, or says why not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.helpers import EXECUTOR
from tests.softfx.cases import CASES, Quantizer, Router

POLICIES = ("straight-through", "smooth")


def first(result: Any) -> Tensor:
    return result if isinstance(result, Tensor) else result[0]


def gradients(soft: Any, inputs: tuple[Any, ...]) -> tuple[Tensor, list[Tensor]]:
    value = first(soft(*inputs))
    return value.detach(), list(torch.autograd.grad(value.square().sum(), list(soft.parameters())))


def same(soft: Any, other: Any, inputs: tuple[Any, ...]) -> None:
    (value, grads), (other_value, other_grads) = gradients(soft, inputs), gradients(other, inputs)
    # A compiler may fuse and reorder float32 sums: a few units in the last place.
    assert torch.allclose(value, other_value, rtol=1e-5, atol=1e-6)
    assert all(torch.allclose(g, h, rtol=1e-4, atol=1e-6) for g, h in zip(grads, other_grads, strict=True))


def compiled(soft: Any) -> Any:
    return torch.compile(soft, fullgraph=True, backend="aot_eager")


def unpickled(soft: Any) -> Any:
    return pickle.loads(pickle.dumps(soft))


@pytest.mark.parametrize("way", [copy.deepcopy, unpickled, compiled], ids=["deepcopy", "pickle", "compile"])
@EXECUTOR
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["sequential", "router", "tree", "quantizer"])
def test_copies_pickles_and_compiled_modules_stay_soft(
    name: str, policy: str, executor: str, way: Callable[[Any], Any]
) -> None:
    if way is compiled and executor == "eager":
        pytest.skip("the original Python is not one graph for a compiler; the next test covers it")
    target, inputs = CASES[name]()
    soft = softfx.soften(target, policy, example_inputs=inputs, executor=executor)
    torch.compiler.reset()
    same(soft, way(soft), inputs)


def test_the_eager_executor_under_an_outer_compile_breaks_the_graph_and_stays_soft() -> None:
    target, inputs = CASES["router"]()
    soft = softfx.soften(target, "smooth", example_inputs=inputs, executor="eager")
    torch.compiler.reset()
    same(soft, torch.compile(soft, backend="eager"), inputs)
    torch.compiler.reset()
    with pytest.raises(Exception, match="disable"):
        torch.compile(soft, backend="eager", fullgraph=True)(*inputs)


@EXECUTOR
@pytest.mark.parametrize("policy", POLICIES)
def test_vmap_grad_and_jvp_see_the_soft_function(policy: str, executor: str) -> None:
    function, (heat,) = CASES["coordinates"]()
    soft = softfx.soften(function, policy, example_inputs=(heat,), executor=executor)

    def loss(x: Tensor) -> Tensor:
        return soft(x)[0].sum()

    leaf = heat.clone().requires_grad_()
    (reference,) = torch.autograd.grad(loss(leaf), leaf)
    assert reference.any()
    assert torch.allclose(torch.func.grad(loss)(heat), reference, atol=1e-6)
    batched = torch.func.vmap(torch.func.grad(loss))(torch.stack([heat, heat.flip(0)]))
    assert torch.allclose(batched[0], reference, atol=1e-6)
    tangent = torch.randn_like(heat)
    assert torch.allclose(torch.func.jvp(loss, (heat,), (tangent,))[1], (reference * tangent).sum(), atol=1e-5)


@EXECUTOR
def test_functional_call_uses_the_parameters_it_is_given(executor: str) -> None:
    target, inputs = CASES["router"]()
    policy = {"preset": "straight-through", "default": {"softness": 0.1}}  # whatever the parameters are
    soft = softfx.soften(target, policy, example_inputs=inputs, executor=executor)
    parameters = {name: value.detach() * 2 for name, value in soft.named_parameters()}

    def loss(values: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(soft, values, inputs).square().sum()  # type: ignore[no-any-return]

    grads = torch.func.grad(loss)(parameters)
    doubled = Router()
    doubled.load_state_dict(parameters)
    _, reference = gradients(softfx.soften(doubled, policy, example_inputs=inputs), inputs)
    assert all(
        torch.allclose(grads[name], g, rtol=1e-4, atol=1e-5)
        for (name, _), g in zip(doubled.named_parameters(), reference, strict=True)
    )


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("policy", POLICIES)
def test_export_keeps_the_soft_value_and_its_gradient(policy: str, strict: bool) -> None:
    target, inputs = CASES["router"]()
    soft = softfx.soften(target, policy, example_inputs=inputs)
    exported = torch.export.export(soft, inputs, strict=strict).module()
    value, grads = gradients(soft, inputs)
    other = exported(*inputs)
    assert torch.allclose(value, other, rtol=1e-5, atol=1e-6)
    by_name = dict(exported.named_parameters())
    names = [name for name, _ in soft.named_parameters()]
    found = torch.autograd.grad(other.square().sum(), [by_name[name] for name in names], allow_unused=True)
    assert all(g is not None and torch.allclose(g, h, rtol=1e-4, atol=1e-6) for g, h in zip(found, grads, strict=True))


class Branches(nn.Module):
    """Behaves by shape, mode, attribute and data."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.flip = False

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        if x.shape[0] > 2:
            y = y.sign()
        if self.training:
            y = y.round()
        return -y if self.flip else y


@pytest.mark.parametrize("change", ["shape", "mode", "attribute", "dtype", "hook"])
def test_what_was_not_seen_at_capture_is_followed_and_reported(change: str) -> None:
    torch.manual_seed(0)
    module = Branches().eval()
    x = torch.randn(2, 3)
    soft = softfx.soften(module, example_inputs=(x,))
    seen: list[Tensor] = []
    if change == "shape":
        x = torch.randn(4, 3)
    elif change == "mode":
        soft.train(), module.train()
    elif change == "attribute":
        soft.flip = module.flip = True
    elif change == "dtype":
        x = x.double()
        soft.double()
    else:
        soft.linear.register_forward_hook(lambda m, i, o: seen.append(o))
    before = len(soft.report.sites)
    value = soft(x)
    assert torch.equal(value, module(x))
    (gradient,) = torch.autograd.grad(value.sum(), soft.linear.weight)
    assert gradient.any()
    assert (len(soft.report.sites) > before) == (change in ("shape", "mode"))
    assert len(seen) == (2 if change == "hook" else 0)


def test_a_data_dependent_branch_runs_softly_whichever_way_it_goes() -> None:
    def branch(x: Tensor) -> Tensor:
        return x.round() if x.sum() > 0 else x.sign() * 3

    soft = softfx.soften(branch, example_inputs=(torch.ones(3),))
    assert soft.report.executor == "eager" and soft.report.breaks
    for x in (torch.tensor([0.2, 0.9, 1.4]), torch.tensor([-0.2, -0.9, -1.4])):
        leaf = x.clone().requires_grad_()
        value = soft(leaf)
        assert torch.equal(value, branch(x))
        assert torch.autograd.grad(value.sum(), leaf)[0].all()
    assert [site.op for site in soft.report.sites if site.action == "straight_through"] == ["round", "sign"]


def test_softness_is_set_by_pattern_without_capturing_again_and_can_be_learned() -> None:
    target, inputs = CASES["router"]()
    for executor in ("graph", "eager"):
        soft = softfx.soften(target, "smooth", example_inputs=inputs, executor=executor)
        before = soft(*inputs)
        softfx.set_softness(soft, {"topk": 0.5})
        assert not torch.equal(soft(*inputs), before)
        softness = nn.Parameter(torch.tensor(0.1))
        softfx.set_softness(soft, softness)
        value = soft(*inputs)
        assert torch.allclose(value, before, rtol=1e-5, atol=1e-6)
        (gradient,) = torch.autograd.grad(value.sum(), softness)
        assert torch.isfinite(gradient) and gradient != 0


def test_under_no_grad_straight_through_is_the_original_itself() -> None:
    torch.manual_seed(0)
    module = Quantizer()
    x = torch.randn(5, 6)
    soft = softfx.soften(module, example_inputs=(x,))
    with torch.no_grad():
        codes, index = soft(x)
    assert torch.equal(codes, module(x)[0]) and torch.equal(index, module(x)[1]) and index.dtype is torch.int64
