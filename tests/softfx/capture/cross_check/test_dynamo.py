"""The Dynamo cross-check: refusals with the line and what to do."""

from __future__ import annotations

import re

import pytest
import torch

import softfx
from softfx.errors import CaptureError
from tests.softfx.capture import models
from tests.softfx.capture.models import branches, line_of, plan
from tests.softfx.cases import CASES


def test_dynamo_says_where_it_breaks_and_what_to_do() -> None:
    line = line_of(branches, "if x.sum() > 0")
    where = re.escape(f"{models.__file__}:{line}")
    with pytest.raises(
        CaptureError,
        match=rf"^branches: capture='dynamo' cannot see the whole call: Dynamo breaks the graph at "
        rf"{where}: Data-dependent branching.* Take capture='auto', which follows any Python\.$",
    ):
        softfx.check(branches, example_inputs=(torch.randn(3),), capture="dynamo")


def test_dynamo_does_not_index_by_a_computed_number() -> None:
    """So the contact function is for the others; should this fail, take "contact" into those of test_frontends."""
    target, inputs = CASES["contact"]()
    with pytest.raises(CaptureError, match="Could not extract specialized integer from data-dependent expression"):
        softfx.check(target, example_inputs=inputs, capture="dynamo")
    eager, fx = (plan(softfx.check(target, example_inputs=inputs, capture=capture)) for capture in ("eager", "fx"))
    assert eager == fx
