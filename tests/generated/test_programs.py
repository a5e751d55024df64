"""The generator itself: what it makes depends on the seed alone, runs, and shrinks to what fails."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import Tensor

from tests.generated.programs import Program, make
from tests.generated.running import build
from tests.generated.shrink import shrink
from tests.helpers import assert_same, outcome

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch: programs mean nothing


def test_a_seed_makes_the_same_program_each_time_and_another_one_another() -> None:
    programs = [make(seed) for seed in range(30)]
    assert programs == [make(seed) for seed in range(30)]
    assert len({program.source for program in programs}) == 30


@pytest.mark.parametrize("seed", range(30, 60))
def test_a_program_runs_and_gives_the_same_twice(seed: int) -> None:
    built = build(make(seed))
    first, second = (outcome(built.target(), built.inputs(), catch=True) for _ in range(2))
    assert any(isinstance(result, Tensor) for result in first.results)
    assert_same(first, second)


def test_modules_special_inputs_and_every_kind_of_result_are_among_them() -> None:
    programs = [make(seed) for seed in range(200)]
    assert {program.is_module for program in programs} == {True, False}
    assert {program.is_special for program in programs} == {True, False}
    assert {program.result[0] for program in programs} >= set("v({[")


def test_a_failing_program_shrinks_to_the_statement_that_fails() -> None:
    inputs = (("x0", "torch.randn((3, 4), generator=g)"), ("x1", "torch.randn((3, 4), generator=g)"))
    statements = ("v0 = x0 + x1", "v1 = v0.round()", "v2 = x1.sin()", "v3 = v1 * v2")
    program = Program(0, inputs, statements, "(v2, v3,)")

    def rounds(candidate: Program) -> bool:
        try:
            built = build(candidate)
            built.target()(*built.inputs())
        except NameError:
            return False
        return ".round()" in candidate.source and "v1" in candidate.result

    small = shrink(replace(program, result="(v1, v3,)"), rounds)
    assert (small.statements, small.result, len(small.inputs)) == (("v1 = x0.round()",), "v1", 1)
