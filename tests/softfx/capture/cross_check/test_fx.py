"""The fx cross-check: nothing computes out of its sight, and a value that Python reads is refused with its line."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import softfx
from softfx.errors import CaptureError
from tests.softfx.capture import models
from tests.softfx.capture.models import branches, line_of, reads_item


@pytest.mark.parametrize(
    ("target", "text", "said"),
    [
        (branches, "if x.sum() > 0", "bool reads a value that depends on the inputs into Python"),
        (reads_item, "x.sum().item()", "item reads a value that depends on the inputs into Python"),
    ],
)
def test_fx_says_which_line_reads_a_value(target: Any, text: str, said: str) -> None:
    where = re.escape(f"{models.__file__}:{line_of(target, text)}")
    with pytest.raises(CaptureError, match=rf"symbolic tracing stops at {where}: {said}\. .*capture='auto'"):
        softfx.check(target, example_inputs=(torch.randn(3),), capture="fx")


def test_fx_lets_nothing_compute_out_of_its_sight() -> None:
    def through_numpy(x: Tensor) -> Tensor:
        return torch.from_numpy(np.sign(x.detach().numpy())) * x

    def replaced(x: Tensor) -> Tensor:
        y = x.round()
        y.data = x
        return y

    with pytest.raises(CaptureError, match="numpy reads a value that depends on the inputs into Python"):
        softfx.check(through_numpy, example_inputs=(torch.randn(3),), capture="fx")
    with pytest.raises(CaptureError, match="an attribute of a tensor is replaced"):
        softfx.check(replaced, example_inputs=(torch.randn(3),), capture="fx")


def test_fx_gives_no_number_to_python_that_was_written_in_place() -> None:
    def reads(x: Tensor) -> Tensor:
        sizes = torch.zeros(2)
        sizes[0] = x.sum()
        return x * sizes.max().item()

    with pytest.raises(CaptureError, match="reads a value that depends on the inputs"):
        softfx.check(reads, example_inputs=(torch.ones(2),), capture="fx")
