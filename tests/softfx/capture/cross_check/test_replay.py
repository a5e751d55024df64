"""The replay of a traced graph: held against the original, with the original's obstacles and positions."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from torch import Tensor

import softfx
from softfx.errors import CaptureError
from softfx.locations import short_path
from tests.softfx.capture import models
from tests.softfx.capture.models import OBSTACLES, TRACERS, plan


@pytest.mark.parametrize("frontend", TRACERS)
@pytest.mark.parametrize("name", OBSTACLES)
def test_a_tracer_refuses_with_the_line_or_names_the_same_obstacle(name: str, frontend: str) -> None:
    target, reason = OBSTACLES[name]
    x = torch.randn(4, 4).abs().requires_grad_()
    try:
        report = softfx.check(target, "straight-through", example_inputs=(x,), capture=frontend)
    except CaptureError as refusal:
        assert re.search(rf"capture='{frontend}' cannot see the whole call: .*capture='auto'", str(refusal))
        assert f"{short_path(str(models.__file__))}:" in str(refusal) or "does not do what it does" in str(refusal)
        return
    assert plan(report) == plan(softfx.check(target, "straight-through", example_inputs=(x,), capture="eager"))
    assert report.executor == "eager"
    with pytest.raises(CaptureError, match=re.escape(reason)):
        softfx.soften(target, "straight-through", example_inputs=(x,), capture=frontend, executor="graph")


def test_a_graph_that_does_something_else_is_refused() -> None:
    calls = itertools.count()  # of an iterator nothing is put back

    def drifting(x: Tensor) -> Tensor:
        return x.round() + next(calls)

    message = "does not do what it does on its example inputs: result 0 has other values"
    with pytest.raises(CaptureError, match=message):
        softfx.check(drifting, example_inputs=(torch.randn(3),), capture="fx")
