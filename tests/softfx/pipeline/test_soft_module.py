"""Softened modules: every method, hook and instance function that is called of one runs softened, on its own state."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import types
from collections.abc import Callable
from typing import Any, Self

import pytest
import torch
from torch import Tensor, fx, nn

import softfx
from tests.helpers import EXECUTOR, gradient

X = torch.tensor([0.3, 1.7, -0.6])


class Model(nn.Module):
    """Methods of every kind, each of which has no gradient as it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((3,), 1.3))
        self.factor = 2

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(self.scale * x)

    def encode(self, x: Tensor) -> Tensor:
        return torch.sign(self.scale * x) * self.factor

    def both(self, x: Tensor) -> Tensor:
        return self(x) + self._encoded(x)

    def _encoded(self, x: Tensor) -> Tensor:
        return self.encode(x)

    @staticmethod
    def rounded(x: Tensor) -> Tensor:
        return x.round()

    @classmethod
    def floored(cls, x: Tensor) -> Tensor:
        return x.floor()

    @property
    def rounded_scale(self) -> Tensor:
        return self.scale.round()


class Calling(Model):
    """Its call is more than its forward."""

    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x.floor()) * x.ceil()  # type: ignore[no-any-return]


METHODS = ("forward", "encode", "both", "_encoded", "rounded", "floored", "__call__")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [Model, Calling])
@EXECUTOR
def test_each_method_is_softened_and_gives_the_originals_values(kind: type[Model], method: str, executor: str) -> None:
    model = kind()
    soft = softfx.soften(model, example_inputs=(X,), executor=executor)
    for _ in range(2):  # the first call is the one that is planned
        value = getattr(soft, method)(X)
        assert torch.equal(value, getattr(model, method)(X))
        assert gradient(getattr(soft, method), X).any()


def test_a_method_that_calls_the_module_is_softened_once() -> None:
    soft = softfx.soften(Model(), "smooth", example_inputs=(X,))
    assert torch.equal(soft.both(X), soft(X) + soft.encode(X))
    assert [site.op for site in soft.report.sites] == ["round", "sign"]


def test_the_sites_of_a_method_join_the_report_settled_when_it_is_first_called() -> None:
    class Chooses(Model):
        def choice(self, x: Tensor) -> Tensor:
            return (self.scale * x).argmax()

    soft = softfx.soften(Chooses(), example_inputs=(X,))
    assert [site.op for site in soft.report.sites] == ["round"]
    soft.choice(X)
    assert [(site.op, site.action) for site in soft.report.sites] == [("round", "straight_through"), ("argmax", "keep")]


def test_properties_and_signatures_are_those_of_the_original() -> None:
    model = Model()
    soft = softfx.soften(model, example_inputs=(X,))
    assert torch.autograd.grad(soft.rounded_scale.sum(), model.scale)[0].any()
    for name in ("forward", "encode", "rounded"):
        assert inspect.signature(getattr(soft, name)) == inspect.signature(getattr(model, name))


@pytest.mark.parametrize("way", [copy.deepcopy, lambda soft: pickle.loads(pickle.dumps(soft))], ids=["copy", "pickle"])
def test_methods_of_copies_are_soft_and_their_own(way: Callable[[Any], Any]) -> None:
    soft = softfx.soften(Model(), example_inputs=(X,))
    other = way(soft)
    other.factor = 5
    assert torch.equal(other.encode(X), 5 * X.sign()) and torch.equal(soft.encode(X), 2 * X.sign())
    assert gradient(other.encode, X).any()


# -- functions that a module keeps of itself -------------------------------------------------------------------------


class Counter(nn.Module):
    """Keeps state in an attribute, and its own functions in others."""

    def __init__(self, keep: str) -> None:
        super().__init__()
        self.total, self.seen, self.sizes = torch.zeros(()), [], {"last": 0}
        helper = types.SimpleNamespace(owner=self)
        self.kept: Any = {
            "bound method": self._add,
            "closure": lambda x: self._add(x),
            "partial": functools.partial(Counter._add, self),
            "nested": [(self._add,)],
            "helper": helper,
        }[keep]
        self.keep = keep

    def _add(self, x: Tensor) -> None:
        self.total += torch.round(x).sum()
        self.seen.append(x.round())
        self.sizes["last"] += len(x)

    def forward(self, x: Tensor) -> Tensor:
        if self.keep == "nested":
            self.kept[0][0](x)
        elif self.keep == "helper":
            self.kept.owner._add(x)
        else:
            self.kept(x)
        return self.total + torch.cat(self.seen).sum() + self.sizes["last"]


@pytest.mark.parametrize("keep", ["bound method", "closure", "partial", "nested", "helper"])
def test_a_function_that_a_module_keeps_of_itself_is_the_softened_ones(keep: str) -> None:
    model, twin = Counter(keep), Counter(keep)
    soft = softfx.soften(model, example_inputs=(X,))
    assert [soft(X).item() for _ in range(3)] == [twin(X).item() for _ in range(3)]
    assert model.total == 0 and model.seen == [] and model.sizes == {"last": 0}
    if keep not in ("nested", "helper"):
        soft.kept(X), twin.kept(X)
        assert torch.equal(soft.total, twin.total)


def test_configuration_stays_shared_and_so_are_parts_of_parameters() -> None:
    class Configured(Model):
        def __init__(self) -> None:
            super().__init__()
            self.options, self.part = {"k": 1}, self.scale.data[:1]

    model = Configured()
    soft = softfx.soften(model, example_inputs=(X,))
    assert soft.options is model.options and soft.part is model.part


class Frozen(dict[str, Any]):
    """A configuration that takes no writes once it is made, nor copies."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.made = True

    def _refuse(self, *args: object, **kwargs: object) -> Any:
        raise TypeError("frozen")

    update = pop = setdefault = clear = copy = __setitem__ = __delitem__ = _refuse  # type: ignore[assignment]


def test_a_dictionary_that_takes_no_writes_may_be_an_attribute() -> None:
    class Configured(Model):
        def __init__(self) -> None:
            super().__init__()
            self._options = Frozen(k=1, table=torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return torch.round(x) * self._options["table"] * self._options["k"]

    model = Configured()
    soft = softfx.soften(model, example_inputs=(X,))
    assert torch.equal(soft(X), model(X))
    assert type(soft._options) is Frozen and soft._options.made and dict(soft._options).keys() == {"k", "table"}


# -- hooks and replaced functions --------------------------------------------------------------------------------------


class Scaled(nn.Module):
    def forward(self, x: Tensor, *, by: float = 1.0) -> Tensor:
        return x * by


HOOKS: dict[str, Callable[[nn.Module], Any]] = {
    "forward": lambda m: m.register_forward_hook(lambda m, args, result: result.round()),
    "forward with keywords": lambda m: m.register_forward_hook(
        lambda m, args, kwargs, result: torch.round(result * kwargs["by"]), with_kwargs=True
    ),
    "pre": lambda m: m.register_forward_pre_hook(lambda m, args: (args[0].round(),)),
    "pre with keywords": lambda m: m.register_forward_pre_hook(
        lambda m, args, kwargs: ((args[0].round(),), {"by": 2.0}), with_kwargs=True
    ),
    "every module's": lambda m: nn.modules.module.register_module_forward_hook(lambda m, args, result: result.round()),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("hook", HOOKS)
def test_what_hooks_compute_is_softened(hook: str, late: bool) -> None:
    model = Scaled()
    if late:
        target = softfx.soften(model, example_inputs=(X,), example_kwargs={"by": 3.0})
        handles = [HOOKS[hook](target), *([] if hook == "every module's" else [HOOKS[hook](model)])]
    else:
        handles = [HOOKS[hook](model)]
        target = softfx.soften(model, example_inputs=(X,), example_kwargs={"by": 3.0})
    try:
        for _ in range(2):
            assert torch.equal(target(X, by=3.0), model(X, by=3.0))
            assert gradient(functools.partial(target, by=3.0), X).any()
        assert target.report.counts["straight_through"] == 1
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("register", ["register_full_backward_hook", "register_full_backward_pre_hook"])
def test_backward_hooks_are_called_once(register: str) -> None:
    model = Scaled()
    model.register_forward_hook(lambda m, args, result: result.round())
    calls: list[object] = []
    getattr(model, register)(lambda module, *gradients: calls.append(module))
    soft = softfx.soften(model, example_inputs=(X,))
    assert gradient(soft, X).any()
    assert calls == [soft]


REPLACEMENTS: dict[str, Callable[[Model], Any]] = {
    "method": lambda m: setattr(m, "forward", types.MethodType(lambda self, x: self.encode(x) * 3, m)),
    "closure": lambda m: setattr(m, "forward", lambda x: m.encode(x) * 3),
    "wrapper of the old one": lambda m: setattr(m, "forward", lambda x, old=m.forward: old(x) * m.factor),
    "partial": lambda m: setattr(m, "forward", functools.update_wrapper(functools.partial(Model.encode, m), m.forward)),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("how", REPLACEMENTS)
def test_a_forward_that_is_replaced_on_the_instance_is_softened(how: str, late: bool) -> None:
    model = Model()
    if late:
        soft = softfx.soften(model, example_inputs=(X,))
        REPLACEMENTS[how](soft)
        REPLACEMENTS[how](model)
    else:
        REPLACEMENTS[how](model)
        soft = softfx.soften(model, example_inputs=(X,))
    for factor in (2, 5):
        soft.factor = model.factor = factor
        assert torch.equal(soft(X), model(X))
        assert gradient(soft, X).any()


# -- targets that were made of others ----------------------------------------------------------------------------------


def compiled_in_place() -> nn.Module:
    model = Model()
    model.compile(backend="eager")
    return model


COMPILED: dict[str, Callable[[], Any]] = {
    "module": lambda: torch.compile(Model(), backend="eager"),
    "in place": compiled_in_place,
    "function": lambda: torch.compile(lambda x: x.round() * 2, backend="eager"),
    "softened": lambda: torch.compile(softfx.soften(Model(), example_inputs=(X,)), backend="eager"),
}


@pytest.mark.parametrize("what", COMPILED)
def test_beneath_a_compiled_target_the_original_is_softened_and_the_report_says_so(what: str) -> None:
    target = COMPILED[what]()
    soft = softfx.soften(target, example_inputs=(X,))
    assert torch.equal(soft(X), target(X))
    assert gradient(soft, X).any()
    assert "compiled by" in str(soft.report)


def test_a_softened_module_is_softened_anew_from_what_it_is_made_of() -> None:
    model = Model()
    first = softfx.soften(model, "smooth", example_inputs=(X,))
    first.factor = 7
    second = softfx.soften(first, example_inputs=(X,))
    assert torch.equal(second(X), model(X)) and not torch.equal(first(X), model(X))
    assert second.factor == 7 and softfx.harden(second) is model
    assert type(second) is type(first)


@EXECUTOR
@pytest.mark.parametrize("policy", ["gradients", "smooth", "keep"])
@pytest.mark.parametrize("part", ["module", "function"])
def test_a_softened_part_runs_by_its_own_decisions_inside_a_softened_whole(
    part: str, policy: str, executor: str
) -> None:
    model = Model()
    inner = softfx.soften(model if part == "module" else torch.round, "smooth", example_inputs=(X,))

    def whole(x: Tensor) -> Tensor:
        return torch.sign(inner(x)) + inner(x)

    if executor == "graph" and policy != "keep":
        with pytest.raises(softfx.SoftfxError, match="softened already"):
            softfx.soften(whole, policy, example_inputs=(X,), executor=executor)
        return
    soft = softfx.soften(whole, policy, example_inputs=(X,), executor=executor)
    if policy != "smooth":
        assert torch.equal(soft(X), whole(X))
    assert gradient(soft, X).any()
    assert [site.op for site in soft.report.sites] == ["sign"]


def test_a_softened_function_may_call_itself() -> None:
    def power(n: int, x: Tensor) -> Tensor:
        return x.round() if n == 0 else soft(n - 1, x) * x  # type: ignore[no-any-return]

    soft = softfx.soften(power, example_inputs=(0, X), executor="eager")
    assert gradient(functools.partial(soft, 3), X).any()
    assert len(soft.report.sites) == 1


class Mean(torch.nn.Module):
    """A metric: its state goes on over calls, as tensors and in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(()))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.total = self.total + (x > 0).float().sum()
        self.seen.append(self.total)
        return self.total / len(self.seen)


def test_a_copy_of_a_module_has_the_values_of_a_state_that_carries_a_derivative() -> None:
    x = torch.tensor([0.3, -0.2], requires_grad=True)
    soft = softfx.soften(Mean(), example_inputs=(x,))
    soft(x)
    assert soft.total.requires_grad
    other = copy.deepcopy(soft)
    assert other.seen[0] is other.total and not other.total.requires_grad and len(soft.seen) == 1
    assert torch.equal(other(x), soft(x)) and other(x).requires_grad


class Sized(Model):
    """A class whose `__new__` asks for more than the class, as pickle does not know it."""

    def __new__(cls, size: int) -> Self:
        return super().__new__(cls)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


@pytest.mark.parametrize("policy", ["gradients", "smooth", "keep"])
@pytest.mark.parametrize(
    "made",
    [
        lambda: fx.symbolic_trace(Model()),
        lambda: torch.export.export(Model(), (X,)).module(),
        lambda: nn.Sequential(fx.symbolic_trace(Model()), Sized(3)),
    ],
    ids=["traced", "exported", "parts"],
)
def test_modules_whose_classes_make_instances_in_a_way_of_their_own(made: Callable[[], nn.Module], policy: str) -> None:
    target = made()
    x = X.clone().requires_grad_()
    soft = softfx.soften(target, policy, example_inputs=(x,))
    result = soft(x)
    assert policy == "smooth" or torch.equal(result, target(x))
    assert policy == "keep" or torch.autograd.grad(result.sum(), x)[0].any()
    assert torch.equal(softfx.harden(soft)(x), target(x))
