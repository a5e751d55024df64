"""Writes by a mask of no axes, which write all or nothing: to places, counts, bools and numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTORS, gradient

X = torch.tensor([1.3, -2.2, 0.6, -0.3])


def writing(target: Callable[[Tensor], Tensor], *key: object, value: float | Tensor = 0) -> Callable[[Tensor], Tensor]:
    """A program that writes to `target(x)` where the largest number is above the threshold, and uses what is there."""

    def program(x: Tensor, threshold: float) -> Tensor:
        found = target(x)
        found[(x.max() > threshold, *key) if key else x.max() > threshold] = value
        return found.to(x.dtype) * x

    return program


PROGRAMS = {
    "a place": writing(lambda x: x.argmax()),
    "the place of a pair": writing(lambda x: x.max(0)[1].clone(), value=2),
    "places": writing(lambda x: x.argsort(), value=1),
    "one of the places": writing(lambda x: x.argsort(), 0, value=2),
    "some of the places": writing(lambda x: x.argsort(), slice(1, 3), value=torch.tensor([[2, 0]])),
    "a row of places": writing(lambda x: torch.stack([x, -x]).argsort(-1), 1, slice(2), value=3),
    "a count": writing(lambda x: (x > 0).sum(), value=5),
    "a bool": writing(lambda x: (x > 0).all(), value=True),
    "bools": writing(lambda x: x > 0, 2, value=False),
    "a number": writing(lambda x: x.round().sum(), value=4.0),
    "numbers": writing(lambda x: x.round(), slice(1, None), value=torch.tensor([4.0, 1.0, 2.0])),
}


@pytest.mark.parametrize("threshold", [0.5, 1.5], ids=["all", "nothing"])
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_are_the_programs_and_gradients_finite(name: str, executor: str, threshold: float) -> None:
    def program(x: Tensor) -> Tensor:
        return PROGRAMS[name](x, threshold)

    for policy in ("gradients", "smooth"):
        soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
        assert gradient(soft, X).isfinite().all()
        if policy == "gradients":
            assert torch.equal(soft(X), program(X))
        softfx.set_softness(soft, 1e-6)
        torch.testing.assert_close(soft(X), program(X), rtol=0, atol=1e-3)


@pytest.mark.parametrize("threshold", [0.5, 1.5], ids=["all", "nothing"])
@pytest.mark.parametrize("policy", ["gradients", "smooth"])
def test_what_a_mask_selects_is_written_back(policy: str, threshold: float) -> None:
    def program(x: Tensor) -> Tensor:
        y = x.max() * 1
        y[y > threshold] = y[y > threshold].round()
        return y

    for executor in ("auto", "eager"):
        soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
        softfx.set_softness(soft, 1e-6)
        torch.testing.assert_close(soft(X), program(X), rtol=0, atol=1e-3)


def test_a_place_that_a_kept_decision_writes_keeps_its_values() -> None:
    def program(x: Tensor) -> tuple[Tensor, Tensor]:
        value, place = x.max(0)
        place = place.clone()
        place[value > -0.3] = 0
        return value, place

    for executor in EXECUTORS:
        soft = softfx.soften(program, executor=executor, example_inputs=(X,))
        assert torch.equal(soft(X)[1], program(X)[1])
