"""What audits refuse before they run anything: each mistake by its name, its value and what is legal."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
from softfx.errors import TargetError


def never(x: Tensor) -> Tensor:
    raise AssertionError("it was run")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"loss": 3}, r"loss = 3 is no function. It takes the target's result .*Write loss=lambda"),
        ({"seed": "a"}, r"seed = 'a'. It is a whole number of at most"),
        ({"seed": 1.5}, r"seed = 1.5. It is a whole number"),
        ({"seed": True}, r"seed = True"),
        ({"seed": 2**63}, r"seed = 9223372036854775808"),
        ({"samples": 3}, r"samples = 3. It is a whole number from 64 on"),
        ({"samples": "many"}, r"samples = 'many'"),
        ({"scale": "a"}, r"scale = 'a'. It is a number above 0, in spreads"),
        ({"scale": 0}, r"scale = 0"),
        ({"scale": float("nan")}, r"scale = nan"),
    ],
)
@pytest.mark.parametrize("verb", [softfx.audit, softfx.calibrate, softfx.lock])
def test_a_mistaken_argument_is_told_before_anything_runs(verb: Any, given: dict[str, Any], says: str) -> None:
    if verb is softfx.lock and "scale" in given:
        given = {"samples": -1}  # it has no scale
        says = "samples = -1"
    inputs = (never, None, [torch.ones(3)]) if verb is softfx.calibrate else (never,)
    named = {} if verb is softfx.calibrate else {"example_inputs": (torch.ones(3),)}
    with pytest.raises(TargetError, match=f"^{verb.__name__}: {says}"):
        verb(*inputs, **named, **given)


@pytest.mark.parametrize("verb", [softfx.audit, softfx.lock])
def test_a_call_without_its_inputs_is_told_by_the_name_of_what_was_called(verb: Any) -> None:
    with pytest.raises(TargetError, match=f"^{verb.__name__}: never cannot be called with these example inputs"):
        verb(never)
