"""Under the straight-through policy a generated program gives the values of the original, bit for bit."""

from __future__ import annotations

import pytest

import softfx
from tests.generated.programs import make
from tests.generated.running import build
from tests.helpers import Outcome, difference, outcome


def deviation(seed: int) -> str:
    """How the results of the softened program differ from those of the original; empty where they do not."""
    built = build(make(seed))
    original = outcome(built.target(), built.inputs(), catch=True)
    inputs = built.inputs()
    soft = softfx.soften(built.target(), "straight-through", example_inputs=inputs, executor="eager", allow_unused=True)
    found = outcome(soft, inputs, catch=True)
    # The gradients are what softening changes, and a program that cannot be differentiated still has results.
    different = difference(Outcome(found.results), Outcome(original.results))
    return f"seed {seed}: {different}, error {found.error}" if different else ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("start", range(0, 60, 30))
def test_straight_through_gives_every_bit_of_the_first_programs(start: int) -> None:
    assert [text for seed in range(start, start + 30) if (text := deviation(seed))] == []
