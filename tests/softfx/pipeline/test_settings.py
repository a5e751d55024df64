"""A compiled softened module follows its plain attributes: another mode or setting is another call."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.pipeline.settings import settings_of

X = torch.tensor([[0.2, 0.7, 1.4, -0.3], [1.2, 0.4, -0.8, 2.6]])


class Configuration:
    threshold = 0.0

    def __init__(self) -> None:
        self.threshold = 0.5


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(1.0)
        self.configuration, self.factor, self.steps = Configuration(), 2, 0
        self.options, self.unlike = {"k": [1, 2]}, float("nan")

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.drop(x)).round() * self.factor + self.above(x)

    def above(self, x: Tensor) -> Tensor:
        return (x > self.configuration.threshold).float() * self.options["k"][0]


def change_factor(model: Any) -> None:
    model.factor = 3


def change_configuration(model: Any) -> None:
    model.configuration.threshold = 1.0


def change_options(model: Any) -> None:
    model.options["k"][0] = 5


CHANGES: list[Callable[[Any], Any]] = [nn.Module.eval, change_factor, change_configuration, change_options]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("compiled_before", [True, False])
def test_a_changed_setting_is_followed(change: Callable[[Any], Any], compiled_before: bool) -> None:
    torch.compiler.reset()
    twin = Model()
    soft = softfx.soften(copy.deepcopy(twin), example_inputs=(X,))
    compiled = torch.compile(soft, backend="eager")
    if compiled_before:
        assert torch.equal(compiled(X), twin(X))
    for model in (soft, twin):
        change(model)
    x = X.clone().requires_grad_()
    result = compiled(x)
    assert torch.equal(result, twin(X))
    assert torch.autograd.grad(result.sum(), x)[0].any()


def test_what_the_call_does_not_name_compiles_nothing_anew() -> None:
    torch.compiler.reset()
    graphs = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    soft = softfx.soften(Model(), example_inputs=(X,))
    compiled = torch.compile(soft, backend=backend, fullgraph=True)
    for step in range(12):
        soft.steps = step
        compiled(X)
    assert len(graphs) == 1


def test_the_settings_are_the_plain_attributes_that_code_of_the_call_names() -> None:
    assert {setting.path: setting.value for setting in settings_of(Model())} == {
        ("factor",): 2,
        ("configuration", "threshold"): 0.5,
        ("options",): {"k": [1, 2]},
        ("norm", "training"): True,
        ("drop", "training"): True,
    }
    assert settings_of(torch.round) == ()
