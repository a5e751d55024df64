"""Views, aliases and writes in place: a softened program has the values and the strides of the original."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.generated.programs import Program
from tests.generated.seeds import CHUNKS, smallest
from tests.generated.views import by_hand, make, make_linear
from tests.generated.views_contracts import deviations, deviations_from_hand

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch: programs mean nothing


def test_a_seed_makes_the_same_program_each_time_and_another_one_another() -> None:
    programs = [make(seed) for seed in range(20)]
    assert programs == [make(seed) for seed in range(20)]
    assert len({program.source for program in programs}) == 20


def test_straight_through_code_takes_the_place_of_roundings_only() -> None:
    programs = [make_linear(seed) for seed in range(20)]
    hand = [by_hand(program) for program in programs]
    assert any("straight_through(" in program.source for program in hand)
    assert all(program.result == other.result for program, other in zip(programs, hand, strict=True))


def told(program: Program, deviations: Callable[[Program], list[str]]) -> str:
    """The deviations of a program, with the smallest that has the first of them; empty if there are none."""

    def kinds(candidate: Program) -> set[str]:
        return {text.split("|")[0] for text in deviations(candidate)}

    found = deviations(program)
    if not found:
        return ""
    return "\n".join((f"seed {program.seed}", *found, smallest(program, found[0].split("|")[0], kinds)))


@pytest.mark.parametrize("start", range(0, 36, 6))
def test_writes_through_views_are_the_originals(start: int) -> None:
    found = "\n".join(filter(None, (told(make(seed), deviations) for seed in range(start, start + 6))))
    assert not found, found


@pytest.mark.parametrize("start", range(0, 12, 6))
def test_gradients_are_those_of_straight_through_code_by_hand(start: int) -> None:
    found = "\n".join(filter(None, (told(make_linear(seed), deviations_from_hand) for seed in range(start, start + 6))))
    assert not found, found


def assert_kept(programs: list[Program], deviations: Callable[[Program], list[str]]) -> None:
    """Fail if a program deviates."""
    found = list(filter(None, (told(program, deviations) for program in programs)))
    assert not found, "\n".join(found)


@pytest.mark.fuzz
@pytest.mark.parametrize("seeds", CHUNKS, ids=str)
def test_writes_through_views_are_the_originals_in_more_programs(seeds: range) -> None:
    assert_kept([make(seed) for seed in seeds], deviations)


@pytest.mark.fuzz
@pytest.mark.parametrize("seeds", CHUNKS, ids=str)
def test_gradients_are_those_by_hand_in_more_programs(seeds: range) -> None:
    assert_kept([make_linear(seed) for seed in seeds], deviations_from_hand)


def test_what_deviates_is_told_with_the_smallest_program_that_does() -> None:
    text = told(make(3), lambda program: ["rounds|here"] if program.statements else [])
    assert text.startswith("seed 3\nrounds|here\n") and text.count("\n       ") <= 3
