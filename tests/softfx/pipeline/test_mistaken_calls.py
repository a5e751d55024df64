"""Calls of `soften` and its like as a newcomer writes them: the message says what was given, and what to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.errors import TargetError


class Net(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.round()


X = torch.arange(1000.0)
VERBS: list[Callable[..., Any]] = [softfx.soften, softfx.check, softfx.diff]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("given", [X, (X,), [X]], ids=["tensor", "tuple", "list"])
def test_inputs_in_the_place_of_the_policy_are_told(verb: Callable[..., Any], given: object) -> None:
    with pytest.raises(TargetError) as refusal:
        verb(Net(), given)
    assert f"the second argument is a {type(given).__name__}, and it is the policy" in str(refusal.value)
    assert "example_inputs=(x,)" in str(refusal.value)
    assert "tensor(" not in str(refusal.value)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("given", [X, {"x": X}, "3x8"], ids=["tensor", "mapping", "text"])
def test_inputs_that_are_no_tuple_are_told(verb: Callable[..., Any], given: Any) -> None:
    with pytest.raises(TargetError, match=r"example_inputs is a (Tensor|dict|str), and it is a tuple") as refusal:
        verb(Net(), example_inputs=given)
    assert "example_kwargs" in str(refusal.value)
    assert "tensor(" not in str(refusal.value)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("inputs", [None, (X,)])
def test_a_class_in_the_place_of_a_module_is_told(verb: Callable[..., Any], inputs: Any) -> None:
    with pytest.raises(TargetError, match=r"Net is a class of Modules.*soften\(Net\(\.\.\.\)\)"):
        verb(Net, example_inputs=inputs)


@pytest.mark.parametrize("verb", [*VERBS, softfx.audit, softfx.lock])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"example_kwargs": [X]}, r"example_kwargs is a list, and it is a dict by name.*\{'mask': mask\}"),
        ({"example_kwargs": {0: X}}, "example_kwargs is a dict with other keys"),
        ({"example_inputs": 3}, r"example_inputs = 3, and it is a tuple of arguments"),
        ({"example_inputs": X.numpy()}, r"example_inputs = ndarray of shape \(1000,\), and it is a tuple"),
    ],
)
def test_arguments_of_another_kind_are_told(verb: Callable[..., Any], given: Any, says: str) -> None:
    with pytest.raises(TargetError, match=says) as refusal:
        verb(Net(), **given)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("target", [None, 3, "package:Net", torch])
def test_what_is_no_target_is_told(target: Any) -> None:
    with pytest.raises(TargetError, match=r"cannot be softened. A target is an nn.Module or a function"):
        softfx.soften(target, example_inputs=(X,))
