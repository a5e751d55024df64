"""Programs that depend on state outside of their arguments: what they read, and what changes it between two calls."""

from __future__ import annotations

import contextvars
import copy
import functools
import math
import os
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor, nn

__all__ = ["KINDS", "Kind"]

LIMIT = 0.5
TABLE = {"limit": 0.5}
Change = Callable[[Any], None]


class Kind(NamedTuple):
    """Computes by state: `read` gives a number of the module, `change` changes what it gives."""

    read: Callable[[Any], float]
    change: Change


class Inner:
    def __init__(self) -> None:
        self.limit = 0.5


class Options:
    limit = 0.5

    def __init__(self) -> None:
        self.inner = Inner()


class Model(nn.Module):
    """Compares with a number that `read` finds, and moves by a parameter and a buffer."""

    scale = 0.5
    offset: Tensor

    def __init__(self, read: Callable[[Any], float]) -> None:
        super().__init__()
        self.read = read
        self.config, self.limits, self.options = SimpleNamespace(limit=0.5), [0.5, [0.5]], {"limit": 0.5, "more": [0.5]}
        self.objects, self.number, self.switch, self.chosen = Options(), 0.5, False, {"a"}
        self.part = nn.ModuleList([nn.Identity()])
        self.weight = nn.Parameter(torch.ones(4))
        self.register_buffer("offset", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        above = (x > self.read(self)).to(x.dtype)
        return above * x * self.weight + self.offset + x.round()


def set_global(_: Any) -> None:
    global LIMIT
    LIMIT = 1.0


def cell() -> Kind:
    limit = 0.5

    def change(_: Any) -> None:
        nonlocal limit
        limit = 1.0

    return Kind(lambda m: limit, change)


def default() -> Kind:
    def read(m: Any, limit: float = 0.5) -> float:
        return limit

    def change(_: Any) -> None:
        read.__defaults__ = (1.0,)

    return Kind(read, change)


def keyword_default() -> Kind:
    def read(m: Any, *, limit: float = 0.5) -> float:
        return limit

    def change(_: Any) -> None:
        read.__kwdefaults__ = {"limit": 1.0}

    return Kind(read, change)


def counter() -> Kind:
    calls = [0]

    def read(m: Any) -> float:
        return calls[0] / 2

    def change(_: Any) -> None:
        calls[0] += 2

    return Kind(read, change)


def setter(path: str, name: str, value: Any = 1.0) -> Change:
    def change(model: Any) -> None:
        owner = model
        for part in filter(None, path.split(".")):
            owner = getattr(owner, part)
        setattr(owner, name, value)

    return change


def parameter(model: Any) -> None:
    model.weight = nn.Parameter(torch.full((4,), 2.0))


def of_class(kind: type) -> Kind:
    made = type(kind.__name__, (kind,), {})
    return Kind(lambda m: made.limit, lambda m: setattr(made, "limit", 1.0))  # type: ignore[attr-defined]


def weight_of_another() -> Kind:
    other = nn.Linear(1, 1)
    nn.init.constant_(other.weight, 0.5)

    def change(_: Any) -> None:
        other.weight = nn.Parameter(torch.ones(1, 1))

    return Kind(lambda m: other.weight.detach()[0, 0], change)  # type: ignore[arg-type, return-value]  # a tensor


def held(state: Any, read: Callable[[Any], float], change: Change) -> Callable[[], Kind]:
    """State that a closure holds; each kind that is made has a copy of its own."""

    def kind() -> Kind:
        own = copy.deepcopy(state)
        return Kind(lambda m: read(own), lambda m: change(own))

    return kind


class Slots:
    """An object without a dictionary of attributes."""

    __slots__ = ("limit",)

    def __init__(self) -> None:
        self.limit = 0.5


def function_attribute() -> Kind:
    def read(m: Any) -> float:
        found: float = read.limit  # type: ignore[attr-defined]
        return found

    setter("", "limit", 0.5)(read)
    return Kind(read, lambda m: setter("", "limit")(read))


def context_variable() -> Kind:
    limit = contextvars.ContextVar("limit", default=0.5)
    return Kind(lambda m: limit.get(), lambda m: limit.set(1.0))


def default_tensor() -> Kind:
    def read(m: Any, limit: Tensor | None = None) -> float:
        return 0.0 if limit is None else len(limit) / 4

    def change(_: Any) -> None:
        read.__defaults__ = (torch.ones(4),)

    read.__defaults__ = (torch.ones(2),)
    return Kind(read, change)


def weak_reference() -> Kind:
    owner = Options()
    reference = weakref.ref(owner)
    return Kind(lambda m: getattr(reference(), "limit", 0.0), lambda m: setter("", "limit")(owner))


def helper() -> float:
    return LIMIT


@functools.cache
def cached() -> float:
    return LIMIT


def clear_cached(model: Any) -> None:
    cached.cache_clear()
    set_global(model)


def importing(_: Any) -> float:
    from tests.softfx.pipeline import changed_state as here

    return here.LIMIT


def of_module_in_cell() -> Kind:
    module = types.ModuleType("settings")
    setter("", "limit", 0.5)(module)
    return Kind(lambda m: module.limit, lambda m: setter("", "limit")(module))


class Private:
    """An object with a slot that its class alone can name."""

    __slots__ = ("__limit",)

    def __init__(self) -> None:
        self.__limit = 0.5

    def read(self) -> float:
        return self.__limit

    def change(self) -> None:
        self.__limit = 1.0


def move_between(own: list[list[float]]) -> None:
    own[1].append(own[0].pop())


def replace_attributes(model: Any) -> None:
    model.objects.inner.__dict__ = {"limit": 1.0}


def method(model: Any) -> None:
    model.objects.answer = lambda: 1.0


KINDS: dict[str, Callable[[], Kind]] = {
    "attribute": lambda: Kind(lambda m: m.number, setter("", "number")),
    "attribute of an object": lambda: Kind(lambda m: m.config.limit, setter("config", "limit")),
    "attribute at depth": lambda: Kind(lambda m: m.objects.inner.limit, setter("objects.inner", "limit")),
    "object replaced": lambda: Kind(lambda m: m.config.limit, setter("", "config", SimpleNamespace(limit=1.0))),
    "list entry": lambda: Kind(lambda m: m.limits[0], lambda m: m.limits.__setitem__(0, 1.0)),
    "nested list": lambda: Kind(lambda m: m.limits[1][0], lambda m: m.limits[1].__setitem__(0, 1.0)),
    "list length": lambda: Kind(lambda m: len(m.limits) / 4, lambda m: m.limits.append(1.0)),
    "dict entry": lambda: Kind(lambda m: m.options["limit"], lambda m: m.options.update(limit=1.0)),
    "list in a dict": lambda: Kind(lambda m: m.options["more"][0], lambda m: m.options["more"].__setitem__(0, 1.0)),
    "dict key": lambda: Kind(lambda m: len(m.options) / 4, lambda m: m.options.update(new=1.0)),
    "set": lambda: Kind(lambda m: len(m.chosen) / 2, lambda m: m.chosen.add("b")),
    "class attribute": lambda: of_class(Options),
    "shadowed class attribute": lambda: Kind(lambda m: m.scale, setter("", "scale")),
    "instance method": lambda: Kind(lambda m: getattr(m.objects, "answer", float)() + 0.5, method),
    "global": lambda: Kind(lambda m: LIMIT, set_global),
    "global dict": lambda: Kind(lambda m: TABLE["limit"], lambda m: TABLE.update(limit=1.0)),
    "global of a function that is called": lambda: Kind(lambda m: helper(), set_global),
    "cleared cache": lambda: Kind(lambda m: cached(), clear_cached),
    "module imported in the call": lambda: Kind(importing, set_global),
    "module in a closure cell": of_module_in_cell,
    "slot of a private name": held(Private(), Private.read, Private.change),
    "item moved between lists": held([[0.5], [0.5]], lambda own: len(own[1]) / 2, move_between),
    "attributes replaced at once": lambda: Kind(lambda m: m.objects.inner.limit, replace_attributes),
    "closure cell": cell,
    "default": default,
    "keyword default": keyword_default,
    "counter": counter,
    "function attribute": function_attribute,
    "context variable": context_variable,
    "default tensor": default_tensor,
    "weak reference": weak_reference,
    "parameter of another module": weight_of_another,
    "deque": held(deque([0.5, 1.0]), lambda own: own[0], lambda own: own.rotate(1)),
    "array": held(numpy.full(2, 0.5), lambda own: float(own[0]), lambda own: own.fill(1.0)),
    "slots": held(Slots(), lambda own: own.limit, setter("", "limit")),
    "keyword of a partial function": held(
        functools.partial(lambda limit: limit, limit=0.5), lambda own: own(), lambda own: own.keywords.update(limit=1.0)
    ),
    "environment": lambda: Kind(
        lambda m: float(os.environ.get("SOFTFX_TEST_LIMIT", "0.5")),
        lambda m: os.environ.update(SOFTFX_TEST_LIMIT="1.0"),
    ),
    "training": lambda: Kind(lambda m: 0.5 if m.training else 1.0, lambda m: m.eval()),
    "module list": lambda: Kind(lambda m: len(m.part) / 2, lambda m: m.part.append(nn.Identity())),
    "attribute to int": lambda: Kind(lambda m: m.number, setter("", "number", 1)),
    "attribute to bool": lambda: Kind(lambda m: 0.5 + isinstance(m.switch, int), setter("", "switch", 0)),
    "sign of zero": lambda: Kind(lambda m: math.copysign(0.5, m.zero), setter("", "zero", -0.0)),
    "parameter replaced": lambda: Kind(lambda m: 0.5, parameter),
    "parameter written": lambda: Kind(lambda m: 0.5, lambda m: m.weight.data.mul_(2)),
    "buffer replaced": lambda: Kind(lambda m: 0.5, setter("", "offset", torch.ones(4))),
    "buffer written": lambda: Kind(lambda m: 0.5, lambda m: m.offset.add_(1)),
    "flag of a parameter": lambda: Kind(
        lambda m: 0.5 if m.weight.requires_grad else 1.0, lambda m: m.weight.requires_grad_(False)
    ),
    "dtype of a buffer": lambda: Kind(
        lambda m: 0.5 if m.offset.dtype is torch.float32 else 1.0, setter("", "offset", torch.zeros(4).double())
    ),
    "default dtype": lambda: Kind(
        lambda m: 0.5 if torch.get_default_dtype() is torch.float32 else 1.0,
        lambda m: torch.set_default_dtype(torch.float64),
    ),
    "thread": lambda: Kind(lambda m: in_thread(m), setter("", "number")),
    "copied object": lambda: Kind(lambda m: copy.deepcopy(m.config).limit, setter("config", "limit")),
}


def in_thread(model: Any) -> float:
    """The number, read by another thread."""
    seen: list[float] = []
    thread = threading.Thread(target=lambda: seen.append(model.number))
    thread.start()
    thread.join()
    return seen[0]
