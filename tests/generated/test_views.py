"""Views, aliases and writes in place: a softened program has the values and the strides of the original."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("start", range(0, 36, 6))
def test_writes_through_views_are_the_originals(start: int) -> None:
    assert [(seed, text) for seed in range(start, start + 6) for text in deviations(seed)] == []


@pytest.mark.parametrize("start", range(0, 12, 6))
def test_gradients_are_those_of_straight_through_code_by_hand(start: int) -> None:
    assert [(seed, text) for seed in range(start, start + 6) for text in deviations_from_hand(seed)] == []


@pytest.mark.fuzz
@pytest.mark.timeout(0)
def test_writes_through_views_are_the_originals_in_thousands_of_programs() -> None:
    assert [(seed, text) for seed in range(1000, 4000) for text in deviations(seed)] == []


@pytest.mark.fuzz
@pytest.mark.timeout(0)
def test_gradients_are_those_by_hand_in_hundreds_of_programs() -> None:
    assert [(seed, text) for seed in range(1000, 1500) for text in deviations_from_hand(seed)] == []
