"""The recorder: obstacles found and named, custom functions kept, and what depends on what is written in place."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor

import softfx
from softfx.errors import CaptureError
from tests.softfx.capture.models import FRONTENDS, OBSTACLES, steps


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("name", OBSTACLES)
def test_the_eager_frontend_names_what_no_graph_holds(name: str, requires_grad: bool) -> None:
    target, reason = OBSTACLES[name]
    x = torch.randn(4, 4).abs().requires_grad_(requires_grad)
    with pytest.raises(CaptureError, match=f"no graph holds the call: .*{re.escape(reason)}.*executor='auto'"):
        softfx.soften(target, "straight-through", example_inputs=(x,), executor="graph")
    assert softfx.soften(target, "straight-through", example_inputs=(x,)).report.executor == "eager"


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_custom_function_is_kept_and_its_gradient_survives(frontend: str) -> None:
    for x in (torch.randn(4), torch.randn(4, requires_grad=True)):
        soft = softfx.soften(steps, "straight-through", example_inputs=(x,), capture=frontend)
        leaf = torch.tensor([0.4, 1.2], requires_grad=True)
        assert [site.op for site in soft.report.sites if site.action == "keep"] == ["round"]
        # Step's own gradient is 1; relu's smooth one is positive everywhere.
        assert (torch.autograd.grad(soft(leaf).sum(), leaf)[0] > 0).all()


def counts_in_place(x: Tensor) -> Tensor:
    """What depends on x is first a tensor of zeros, written through a view of it."""
    counts = torch.zeros(2, 4)
    counts[1][x.argmax()] += 1
    return counts[counts > 0] * x.sum()


def test_what_is_written_in_place_depends_on_what_is_written() -> None:
    x = torch.tensor([0.3, 1.2, 0.1, 0.0])
    soft = softfx.soften(counts_in_place, "gradients", example_inputs=(x,))
    assert soft.report.executor == "eager" and any("shape" in seen.reason for seen in soft.report.breaks)
    assert torch.equal(soft(-x), counts_in_place(-x))


def test_a_graph_keeps_what_is_written_to_out() -> None:
    def sums(x: Tensor) -> Tensor:
        made = torch.empty(3)
        torch.cumsum(torch.tensor([1.0, 2.0]), 0, out=made.narrow(0, 1, 2))
        made[:1] = 0
        return made.sum() * x.round()

    x = torch.tensor([0.3, 1.2])
    soft = softfx.soften(sums, example_inputs=(x,), executor="graph")
    assert torch.equal(soft(x), sums(x))


@pytest.mark.parametrize("frontend", ["eager", "fx"])
def test_a_graph_writes_numbers_of_numpy_as_pythons_own(frontend: str) -> None:
    def scaled(x: Tensor) -> Tensor:
        return np.float64(0.5) * x.round() + np.float32(2) * x[np.int64(1)]  # type: ignore[no-any-return,operator]

    x = torch.tensor([0.3, 1.2])
    soft = softfx.soften(scaled, example_inputs=(x,), capture=frontend, executor="graph")
    assert torch.equal(soft(x), scaled(x))
