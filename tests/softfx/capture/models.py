"""The programs that the tests of capture share: small modules, programs that no graph holds, third-party models."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import softfx
from tests.softfx.cases import CASES

ZOO = Path(__file__).parents[2] / "zoo"
FRONTENDS = ("eager", "dynamo", "fx")
TRACERS = ("dynamo", "fx")

Plan = list[tuple[str, str, int, str, str, str]]


def plan(report: softfx.Report) -> Plan:
    return [(s.module, s.file, s.line, s.op, s.action, s.reason) for s in report.sites]


def line_of(function: Callable[..., Any], text: str) -> int:
    """The line of the function's file, within it, that holds `text`."""
    first = function.__code__.co_firstlineno
    lines = Path(function.__code__.co_filename).read_text().splitlines()
    return next(number for number in range(first, len(lines) + 1) if text in lines[number - 1])


# -- small modules -----------------------------------------------------------------------------------------------


class Configured(nn.Module):
    """Python branches and loops on configuration, shapes and the training flag."""

    def __init__(self, layers: int = 3, residual: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(layers))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            y = torch.relu(layer(x)) - torch.relu(-x)  # two sites on one line, in one module
            x = x + y if self.residual else y
        if x.shape[-1] > 4 and not self.training:
            x = x.round()
        return x


class Buffered(nn.Module):
    """A running statistic, kept in a buffer and written in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(6))
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = self.mean  # type: ignore[assignment]
        mean.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
        return torch.where(self.norm(x) > mean, x, -x)


class Tied(nn.Module):
    """One weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 6, bias=False)
        self.decode = nn.Linear(6, 6, bias=False)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        return F.hardtanh(self.decode(self.encode(x).sign()))


class Parts(NamedTuple):
    best: Tensor
    rest: tuple[Tensor, int]


class Nested(nn.Module):
    """Nested containers out, keyword arguments in, unpacked results, modules in modules."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({"tied": Tied(), "plain": nn.Sequential(nn.Linear(6, 6), nn.ReLU())})

    def forward(self, x: Tensor, *, scale: float = 1.0, mask: Tensor | None = None) -> dict[str, Any]:
        hidden = self.inner["plain"](x) + self.inner["tied"](x)
        values, indices = hidden.topk(2, dim=-1)
        if mask is not None:
            values = values.masked_fill(mask, 0.0)
        return {"values": values * scale, "parts": Parts(indices, (hidden.max(-1).values, 3))}


@dataclass
class Output:
    chosen: Tensor


class Reflected(nn.Module):
    """Reflected and unary operators, properties, rows as a sequence, in-place operators on views."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = 1 - x.T // 2 + 2 ** abs(x.mT) % 3
        first, *others = x[:3]
        first = first + sum(others)
        view = y[0]
        view += first.round().sum()
        ~(x > 0) | (x < 0.5)  # nobody uses it
        return y, -y.clamp(max=1), torch.stack([row.relu() for row in x])


class Guarded(nn.Module):
    """Decisions inside no_grad blocks and decorators, and existing straight-through code."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(6, 4)

    @torch.no_grad()
    def route(self, x: Tensor) -> Tensor:
        return self.gate(x).argmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            keep = x > 0
        route = F.one_hot(self.route(x), 4).float()
        rounded = x + (x.round() - x).detach()
        return (rounded * keep).sum(-1, keepdim=True) * route * self.gate(x).softmax(-1)


class Random(nn.Module):
    """Draws of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand(x.shape) + torch.rand_like(x)
        return self.drop(x + noise).round() + (F.gumbel_softmax(x, hard=True) > 0.5)


def _small(kind: type[nn.Module], **kwargs: Any) -> Callable[[], tuple[nn.Module, tuple[Tensor, ...], dict[str, Any]]]:
    def build() -> tuple[nn.Module, tuple[Tensor, ...], dict[str, Any]]:
        torch.manual_seed(0)
        return kind(), (torch.randn(5, 6),), dict(kwargs)

    return build


def _case(name: str) -> Callable[[], tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    return lambda: (*CASES[name](), {})


SMALL: dict[str, Callable[[], tuple[Any, tuple[Any, ...], dict[str, Any]]]] = {
    **{name: _case(name) for name in CASES},
    "configured": _small(Configured),
    "buffered": _small(Buffered),
    "tied": _small(Tied),
    "nested": _small(Nested, scale=2.0, mask=torch.tensor([True, False])),
    "reflected": _small(Reflected),
    "guarded": _small(Guarded),
    "random": _small(Random),
}


# -- programs that no graph holds ---------------------------------------------------------------------------------


class Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class Swish(torch.autograd.Function):
    """A forward that is a classmethod, as entmax writes it."""

    @classmethod
    def forward(cls, ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x) * 2

    @classmethod
    def backward(cls, ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def formats(x: Tensor) -> Tensor:
    return x.round() * float(f"{x.sum():.1f}")


def prints(x: Tensor) -> Tensor:
    return x.round() * len(str(x))


def reads_item(x: Tensor) -> Tensor:
    return x.round() * x.sum().item()


def branches(x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x.round()
    return x.abs()


def selects(x: Tensor) -> Tensor:
    return x[x > 0].sum()


def steps(x: Tensor) -> Tensor:
    return Step.apply(x).relu()  # type: ignore[no-any-return, no-untyped-call]


def swishes(x: Tensor) -> Tensor:
    return Swish.apply(x).relu()  # type: ignore[no-any-return, no-untyped-call]


def casts(x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return (x @ x.T).round()


def looks_at_gradients(x: Tensor) -> Tensor:
    return x.round() if x.requires_grad else x.relu()


def draws(x: Tensor) -> Tensor:
    return x.round() * random.random()


def draws_with_numpy(x: Tensor) -> Tensor:
    return x.round() * float(np.random.rand())


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x.round() * self.calls


class Remembering(nn.Module):
    memory: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = x.round() if self.memory is None else x + self.memory
        self.memory = y
        return y


OBSTACLES: dict[str, tuple[Any, str]] = {
    "item": (reads_item, "item reads a value into Python"),
    "branch": (branches, "if reads a value into Python"),
    "format": (formats, "a formatted string reads a value into Python"),
    "text": (prints, "repr() reads a value into Python"),
    "selection": (selects, "getitem has a shape that depends on data"),
    "function": (steps, "the custom autograd.Function Step, whose backward a graph of its forward would lose"),
    "classmethod": (swishes, "the custom autograd.Function Swish, whose backward a graph of its forward would lose"),
    "autocast": (casts, "autocast is switched inside the call"),
    "requires_grad": (looks_at_gradients, "requires_grad reads a value into Python"),
    "random": (draws, "the call draws from Python's random, whose numbers a graph would repeat"),
    "numpy": (draws_with_numpy, "the call draws from numpy.random, whose numbers a graph would repeat"),
    "counter": (Counting(), "the call replaces Counting.calls: it keeps state between calls"),
    "memory": (Remembering(), "the call replaces Remembering.memory: it keeps state between calls"),
}


# -- third-party models ------------------------------------------------------------------------------------------


def third_party(name: str) -> Any:
    """A package's module, or the test is skipped: not installed, or built for another torch."""
    try:
        with mock.patch.object(sys, "path", [str(ZOO), *sys.path]):
            importlib.import_module("tv_shim")  # torchvision's operators may not fit this torch
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{name}: {error}")


def vector_quantizer() -> tuple[Any, tuple[Any, ...]]:
    module = third_party("vector_quantize_pytorch")
    return module.VectorQuantize(dim=8, codebook_size=16).eval(), (torch.randn(2, 5, 8, requires_grad=True),)


def switch_router() -> tuple[Any, tuple[Any, ...]]:
    models = third_party("transformers.models.switch_transformers.modeling_switch_transformers")
    config = third_party("transformers.models.switch_transformers.configuration_switch_transformers")
    made = config.SwitchTransformersConfig(d_model=16, d_ff=16, num_experts=4, expert_capacity=3)
    return models.SwitchTransformersTop1Router(made).eval(), (torch.randn(2, 6, 16),)


def rgb_to_hsv() -> tuple[Any, tuple[Any, ...]]:
    color = third_party("kornia.color")
    return color.rgb_to_hsv, (torch.rand(1, 3, 4, 4),)
