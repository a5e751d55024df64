"""What no gradient reaches: the sites that cut it, and what becomes of it under the policy."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.pipeline.execute import Eager


class Chosen(nn.Module):
    """Layers whose scores only choose, one whose output is detached, one parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.values = nn.Parameter(torch.randn(4, 4))
        self.detached, self.unused = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.values[layer(x).argmax(-1)]
        return x * self.detached.detach()


def test_a_report_says_which_sites_cut_a_parameter_and_what_has_a_gradient_now() -> None:
    report = softfx.check(Chosen(), example_inputs=(torch.randn(2, 4, requires_grad=True),))
    layers = [f"layers.{i}.{name}" for i in range(3) for name in ("weight", "bias")]
    assert report.starved == ["input x", "detached", "unused", *layers]
    assert report.gained == ["input x", *layers]
    (site,) = report.sites
    assert report.upstream == {name: [site.id] for name in ("input x", *layers)}
    text = str(report)
    assert "layers.*.weight (3 of them): has one now" in text
    assert "unused: still none" in text


def test_a_site_that_writes_the_input_is_upstream_of_it() -> None:
    def program(x: Tensor) -> Tensor:
        x = x * 1
        x.round_()
        return x * 2

    report = softfx.check(program, "keep", example_inputs=(torch.randn(3, requires_grad=True),))
    assert report.upstream == {"input x": [0]}


def test_with_nothing_that_acts_all_is_as_it_was() -> None:
    report = softfx.check(lambda x: x.round(), "keep", example_inputs=(torch.ones(2, requires_grad=True),))
    assert (report.starved, report.gained) == (["input x"], None)
    assert "has one now" not in str(report) and "input x: still none" in str(report)


def test_a_softened_call_that_raises_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*arguments: object) -> None:
        raise ValueError("not whole\nmore")

    monkeypatch.setattr(Eager, "unreached", refuses)
    report = softfx.check(lambda x: x.round(), "smooth", example_inputs=(torch.ones(2, requires_grad=True),))
    assert report.gained is None
    assert report.not_tried == "the softened call raised ValueError: not whole"
    assert "is not known: the softened call raised ValueError: not whole." in " ".join(str(report).split())


def test_looking_leaves_no_trace() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, state = torch.randn(4, 3, requires_grad=True), torch.get_rng_state()
    report = softfx.check(nn.Sequential(model, nn.Hardshrink()), "straight-through", example_inputs=(x,))
    softfx.check(lambda x: model(x).round(), example_inputs=(x,))
    assert report.sites
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
