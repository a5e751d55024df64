"""Recorded runs of generated programs give what interpreted ones give: values, gradients and reports, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.replay.tapes import Tape
from tests.generated import views
from tests.generated.programs import Program, make
from tests.generated.running import Built, build
from tests.generated.shrink import shrink
from tests.helpers import Outcome, difference, outcome
from tests.softfx.replay.recorded import tapes_of, unrecorded

CHUNK = 25
KEPT = {"preset": "smooth", "rule": [{"op": ["gt", "lt", "argmax", "sort", "topk", "round"], "action": "keep"}]}
POLICIES: tuple[Any, ...] = ("gradients", "straight-through", "smooth", KEPT)


def changed(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Inputs of the same shapes, near the given ones: a few decisions come out otherwise."""
    generator = torch.Generator().manual_seed(5)
    return tuple(
        value + 0.3 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
        if isinstance(value, Tensor) and value.is_floating_point()
        else value
        for value in inputs
    )


def runs(built: Built, recorded: bool) -> tuple[Outcome, list[Tape]]:
    """Six calls of a program, with other inputs and in the other mode among them; and the recordings they left."""
    torch.manual_seed(1)
    inputs, needs_gradient = built.inputs(), built.program.seed % 3 != 0
    policy = POLICIES[built.program.seed % len(POLICIES)]
    soft = softfx.soften(built.target(), policy, example_inputs=inputs, executor="eager", allow_unused=True)
    if not recorded:
        unrecorded(soft)
    found = []
    for call, given in enumerate((inputs, inputs, inputs, changed(inputs), inputs, changed(inputs))):
        if isinstance(soft, nn.Module):
            soft.train(call != 4)
        found.append(outcome(soft, given, requires_gradient=needs_gradient, catch=True))
    results, gradients = (
        [*map(tuple, (one.results for one in found))],
        [each for one in found for each in one.gradients],
    )
    flat = [leaf for one in results for leaf in one]
    whole = Outcome(flat, gradients, " ".join(str(one.error) for one in found), soft.report.to_dict())
    return whole, tapes_of(soft)


def difference_of_ways(program: Program) -> str:
    built = build(program)
    # A recording keeps memory alive by which a write is known to be seen elsewhere: its derivative is then added up in
    # another order.
    return difference(runs(built, True)[0], runs(built, False)[0], rounded=True)


def still_differs(program: Program) -> bool:
    try:
        return difference_of_ways(program) != ""
    except Exception:  # it does not run any more
        return False


STARTS = [
    *range(40_000, 40_100, CHUNK),
    *(pytest.param(start, marks=pytest.mark.fuzz) for start in range(40_100, 41_000, CHUNK)),
]


@pytest.mark.filterwarnings("ignore")  # of torch: programs mean nothing
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", [make, views.make, views.make_linear], ids=["ordinary", "views", "linear"])
def test_recorded_runs_of_generated_programs(kind: Any, start: int) -> None:
    for seed in range(start, start + CHUNK):
        program = kind(seed)
        if found := difference_of_ways(program):
            pytest.fail(f"seed {seed}: {found}\n{shrink(program, still_differs).source}")


@pytest.mark.filterwarnings("ignore")  # of torch: programs mean nothing
def test_most_generated_programs_are_recorded() -> None:
    tapes = [tape for seed in range(40_000, 40_040) for tape in runs(build(make(seed)), True)[1]]
    assert sum(tape.replayed > tape.left for tape in tapes) > 20
