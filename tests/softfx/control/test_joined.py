"""Conditions that logic joins of comparisons: their numbers are those of the rules of logic."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from softfx.control import conditions
from tests.softfx.control.programs import policy

NO, YES = torch.tensor(False), torch.tensor(True)
JOINED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "and": lambda x, y: (x > 0.2) & (x < y),
    "or": lambda x, y: (x > 0.7) | (x < y - 0.1),
    "xor": lambda x, y: (x > 0.3) ^ (y > 0.6),
    "not": lambda x, y: ~(x > 0.3) | torch.logical_not(y > 0.6),
    "eq": lambda x, y: (x > 0.3) == (y > 0.6),
    "ne": lambda x, y: (x > 0.3) != (y > 0.6),
    "with constants": lambda x, y: ((x > 0.3) == False) | ((y > 0.6) & YES) ^ NO,  # noqa: E712  # of tensors
    "the same twice": lambda x, y: (c := x > 0.3) & (c | (y > 0.6)),
    "no scalar": lambda x, y: (x.reshape(1) > 0.3) & (y > 0.6),
}


def gradient(condition: Callable[[Tensor, Tensor], Tensor], **fields: object) -> Tensor:
    x = torch.tensor([0.4, 0.5], requires_grad=True)

    def program(x: Tensor) -> Tensor:
        return x[0] * 3.0 + 1.0 if condition(x[0], x[1]) else x[1] * 2.0

    soft = softfx.soften(program, policy(softness=0.7, **fields), example_inputs=(x,))
    for _ in range(3):  # the later ones of these are run under no mode
        (found,) = torch.autograd.grad(soft(x), x)
    return found


@pytest.mark.parametrize("fields", [{"samples": 0}, {"samples": 1, "seed": 3}, {"action": "soft", "exact": 8}], ids=str)
@pytest.mark.parametrize("name", JOINED)
def test_they_are_those_of_the_rules(name: str, fields: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    found = gradient(JOINED[name], **fields)
    with monkeypatch.context() as patch:
        patch.setattr(conditions, "joined", lambda *_: asked.append(True))
        torch.testing.assert_close(found, gradient(JOINED[name], **fields))
    assert asked and (found != torch.tensor([3.0, 0.0])).any()


def test_what_joins_more_than_a_number_is_quickly_computed_of_goes_by_the_rules() -> None:
    def program(x: Tensor) -> Tensor:
        met = x > 5.0
        for edge in range(200):
            met = met | (x > 1.0 + 0.001 * edge)
        return x if met else -x

    x = torch.tensor(0.5, requires_grad=True)
    soft = softfx.soften(program, policy(samples=0, softness=0.5), example_inputs=(x,))
    (found,) = torch.autograd.grad(soft(x), x)
    assert found > -1.0


def test_operands_that_were_written_since_are_not_what_they_were() -> None:
    def program(x: Tensor) -> Tensor:
        first = x > 0.3
        met = first & (x < 0.9)
        first.fill_(False)
        return x * 3.0 if met else x

    x = torch.tensor(0.5, requires_grad=True)
    soft = softfx.soften(program, policy(samples=0, softness=0.5), example_inputs=(x,))
    assert torch.autograd.grad(soft(x), x)[0] == 3.0
