"""A function that torch.compile compiled inside a target runs uncompiled, and the report says so."""

from __future__ import annotations

import torch
from torch import Tensor

import softfx

X = torch.tensor([0.3, 1.7, -0.6])


def wave(x: Tensor) -> Tensor:
    return x.sin() * 2


def test_a_part_that_is_compiled_is_told() -> None:
    compiled = torch.compile(wave, backend="eager")
    compiled(X)
    soft = softfx.soften(lambda x: compiled(x).round(), example_inputs=(X,))
    assert "uncompiled" in str(soft.report) and torch.equal(soft(X), wave(X).round())
    plain = softfx.soften(lambda x: wave(x).round(), example_inputs=(X,))
    assert "uncompiled" not in str(plain.report)
