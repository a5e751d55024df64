"""Nothing is stale: whatever the Python of a program depends on may change between two calls."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jacrev, jvp, vmap

import softfx
from tests.softfx.pipeline import changed_state
from tests.softfx.pipeline.changed_state import KINDS, Model

EXECUTORS = pytest.mark.parametrize("executor", ["auto", "graph", "eager"])
X = torch.tensor([0.2, 0.7, 1.4, -0.3])


@pytest.fixture(autouse=True)
def _global_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SOFTFX_TEST_LIMIT", "0.5")
    monkeypatch.setattr(changed_state, "LIMIT", 0.5)
    monkeypatch.setitem(changed_state.TABLE, "limit", 0.5)
    changed_state.cached.cache_clear()
    yield
    torch.set_default_dtype(torch.float32)


def bits(value: Tensor) -> tuple[Any, ...]:
    return value.dtype, value.tolist(), value.signbit().tolist()


def built(kind: str) -> tuple[Model, Callable[[Any], None]]:
    made = KINDS[kind]()
    model = Model(made.read)
    model.zero = 0.0
    return model, made.change


@EXECUTORS
@pytest.mark.parametrize("kind", KINDS)
def test_state_that_changes_is_followed(kind: str, executor: str) -> None:
    model, change = built(kind)
    try:
        soft = softfx.soften(model, example_inputs=(X,), executor=executor)
    except softfx.CaptureError:
        assert executor == "graph"
        return
    assert bits(soft(X)) == bits(model(X))
    before = bits(model(X))
    change(soft)
    if bits(model(X)) == bits(soft(X)) == before:  # state that the softened copy has of its own
        change(model)
    leaf = X.clone().requires_grad_()
    with torch.no_grad():
        wanted = model.read(soft)
    expected = (wanted < X).to(X.dtype) * X * soft.weight + soft.offset + X.round()
    assert bits(soft(leaf)) == bits(expected)
    assert torch.autograd.grad(soft(leaf).sum(), leaf)[0].all()


@pytest.mark.parametrize("kind", ["attribute", "attribute of an object", "list entry", "dict entry", "training"])
def test_a_copy_follows_its_own_state(kind: str) -> None:
    model, change = built(kind)
    soft = softfx.soften(model, example_inputs=(X,))
    twin = copy.deepcopy(soft)
    change(twin)
    wanted = model.read(twin)
    assert bits(twin(X)) == bits((wanted < X).to(X.dtype) * X * twin.weight + twin.offset + X.round())


@EXECUTORS
def test_softening_leaves_a_tensor_that_the_call_writes_as_it_was(executor: str) -> None:
    total = torch.zeros(4)
    softfx.soften(lambda x: x * total.add_(x.detach().round()).sign(), example_inputs=(X,), executor=executor)
    assert not total.any()


def copied(x: Tensor) -> Tensor:
    return copy.deepcopy(x.detach()) * 2 + x.sign()


def threaded(x: Tensor) -> Tensor:
    out: list[Tensor] = []
    thread = threading.Thread(target=lambda: out.append(x.round()))
    thread.start()
    thread.join()
    return out[0] + x.sign()


@pytest.mark.parametrize("program", [copied, threaded])
def test_a_tensor_made_out_of_sight_is_made_anew(program: Callable[[Tensor], Tensor]) -> None:
    soft = softfx.soften(program, example_inputs=(X,))
    assert bits(soft(X.flip(0) * 2)) == bits(program(X.flip(0) * 2))


@pytest.mark.parametrize("change", [lambda x: x.t(), lambda x: x.double(), lambda x: x[:, ::2]])
def test_strides_and_dtypes_are_those_of_the_call(change: Callable[[Tensor], Tensor]) -> None:
    def program(x: Tensor) -> Tensor:
        return x.contiguous().mul_(2).round() if x.is_contiguous() else x.contiguous().mul_(3).round()

    given, other = change(torch.arange(16.0).view(4, 4)), change(torch.arange(16.0).view(4, 4))
    soft = softfx.soften(program, example_inputs=(torch.ones(given.shape),))
    assert bits(soft(given)) == bits(program(other))
    assert torch.equal(given, other)


@pytest.mark.parametrize("pair", [(2, 2.0), (True, 1), (0.0, -0.0)])
def test_plain_arguments_are_told_apart(pair: tuple[Any, Any]) -> None:
    def program(x: Tensor, by: Any) -> Tensor:
        return x.round() * by + (1 if isinstance(by, bool) else 0) + (torch.tensor([1, 2]) * by).sum()

    soft = softfx.soften(program, example_inputs=(X, pair[0]))
    assert bits(soft(X, pair[1])) == bits(program(X, pair[1]))


@pytest.mark.parametrize("inside", [True, False])
def test_autocast_around_the_call_is_followed(inside: bool) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=inside):
                h = self.linear(x)
                return h + (h > 0).to(h.dtype)

    model = Mixed()
    soft = softfx.soften(model, example_inputs=(X,))
    with torch.autocast("cpu", torch.bfloat16):
        assert bits(soft(X)) == bits(model(X))
    assert bits(soft(X)) == bits(model(X))


LINEAR = nn.Linear(2, 2)
TRANSFORMED: dict[str, Callable[[Tensor], Tensor]] = {
    "vmap": lambda x: vmap(lambda z: z.round() * z)(x),
    "vmap of grad": lambda x: vmap(grad(lambda z: z.tanh() * z))(x).round(),
    "vmap of grad, with a module": lambda x: vmap(grad(lambda z: LINEAR(z).tanh() @ z))(x.view(2, 2)).round(),
    "jvp": lambda x: jvp(torch.sin, (x,), (torch.ones_like(x),))[1].round(),
    "jacrev": lambda x: jacrev(torch.sin)(x).round(),
}


@pytest.mark.parametrize("policy", ["keep", "straight-through"])
@pytest.mark.parametrize("name", TRANSFORMED)
def test_a_target_may_use_transforms(name: str, policy: str) -> None:
    program = TRANSFORMED[name]
    leaf = X.clone().requires_grad_()
    soft = softfx.soften(program, policy, example_inputs=(leaf,))
    value = soft(leaf)
    assert bits(value) == bits(program(leaf))
    if policy != "keep":
        assert torch.autograd.grad(value.sum(), leaf)[0].any()


DIFFERENTIATED: dict[str, Callable[[Tensor], Tensor]] = {
    "grad": lambda x: vmap(grad(lambda z: (z * 2).relu().round() * z))(x),
    "jvp": lambda x: jvp(lambda z: z.round() * z, (x,), (torch.ones_like(x),))[1],
    "autograd.grad": lambda x: torch.autograd.grad((x.round() * x).sum(), x, create_graph=True)[0],
    "autograd.grad of outputs by name": lambda x: torch.autograd.grad(
        outputs=[x.reshape(2, 2).amax(1).sum()], inputs=[x], create_graph=True
    )[0],
    "functional.jacobian": lambda x: torch.autograd.functional.jacobian(lambda z: z.floor() * z, x, create_graph=True),
}


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_derivatives_that_the_program_takes_are_the_originals(name: str) -> None:
    """With a straight-through derivative they would be other values; the site is kept and says why."""

    def program(x: Tensor) -> Tensor:
        return DIFFERENTIATED[name](x) * x + x.ceil()

    leaf = X.clone().requires_grad_()
    soft = softfx.soften(program, "straight-through", example_inputs=(leaf,))
    assert bits(soft(leaf)) == bits(program(leaf))
    kept = [site for site in soft.report.sites if site.action == "keep"]
    assert kept and all("differentiates" in site.reason for site in kept)
    assert any(site.action == "straight_through" for site in soft.report.sites)


def test_modules_without_values_are_softened() -> None:
    with torch.device("meta"):
        model, x = nn.Sequential(nn.Linear(4, 4), nn.Hardtanh()), torch.randn(2, 4)
    soft = softfx.soften(model, "straight-through", example_inputs=(x,))
    assert soft(x).shape == (2, 4) and soft(x).is_meta and soft.report.sites


def test_the_forward_of_a_softened_module_has_its_signature() -> None:
    model = nn.Linear(2, 2)
    soft = softfx.soften(model, example_inputs=(torch.ones(2),))
    assert inspect.signature(soft.forward) == inspect.signature(model.forward)


class Loading(dict[str, Any]):
    """A table that loads what is asked of it, and cannot load all, as the tables of models in libraries."""

    def items(self) -> Any:
        raise AssertionError("it was asked for all")


TABLE = Loading(sharp=2.0)


def test_a_table_that_loads_is_asked_for_nothing() -> None:
    def program(x: Tensor) -> Tensor:
        return TABLE["sharp"] * torch.round(x)

    x = torch.tensor([0.4, 1.7], requires_grad=True)
    soft = softfx.soften(program, example_inputs=(x,), executor="graph")
    assert soft(x).tolist() == [0.0, 4.0]
    TABLE["sharp"] = 3.0
    assert soft(x).tolist() == [0.0, 6.0]
