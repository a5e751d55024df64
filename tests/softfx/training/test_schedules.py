"""Softness schedules: their laws, what they touch, and that a saved one goes on as if nothing had happened."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch._dynamo.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import softfx
import softtorch
from softfx.schedules import SoftnessSchedule, normalized_entropy

TIMED = [softfx.ExponentialSoftness, softfx.LinearSoftness, softfx.CosineSoftness]
timed = pytest.mark.parametrize("schedule", TIMED, ids=lambda schedule: schedule.__name__)
SOFTNESS = st.floats(1e-6, 1e3)


class Chooser(nn.Module):
    """Two operations that cut the gradient, so that patterns have something to tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.scorer = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.scorer(x)
        return torch.round(scores).gather(-1, scores.argmax(-1, keepdim=True))


def softened(policy: str = "smooth") -> Any:
    torch.manual_seed(0)
    return softfx.soften(Chooser(), policy, example_inputs=(torch.randn(2, 3),))


def of_op(soft: Any, op: str) -> Any:
    return next(site.softness for site in soft.report.sites if site.op == op)


def trace(schedule: SoftnessSchedule, steps: int) -> list[float]:
    found = [schedule.get_last_softness()]
    for _ in range(steps):
        schedule.step()
        found.append(schedule.get_last_softness())
    return found


# -- functions of time -------------------------------------------------------------------------------------------------


@timed
@given(start=SOFTNESS, end=SOFTNESS, steps=st.integers(1, 40))
@settings(max_examples=50)
def test_both_ends_are_exact_and_the_way_is_monotone_and_stays_at_the_end(
    schedule: Any, start: float, end: float, steps: int
) -> None:
    found = trace(schedule(torch.tensor(0.0), start, end, steps), steps + 3)
    assert found[0] == start
    assert found[steps:] == [end] * 4
    drift = [math.copysign(1.0, end - start) * (after - before) for before, after in pairwise(found)]
    assert (
        min(drift) >= -4 * max(start, end) * torch.finfo(torch.float64).eps
    )  # rounding of two additions and a product


def test_the_ways_are_those_of_their_names() -> None:
    half = {schedule: trace(schedule(torch.tensor(0.0), 1.0, 0.01, 4), 4) for schedule in TIMED}
    ratios = [b / a for a, b in pairwise(half[TIMED[0]])]
    assert ratios == pytest.approx([0.01**0.25] * 4, rel=1e-12)  # rounding of float64
    assert half[TIMED[1]] == pytest.approx([1.0, 0.7525, 0.505, 0.2575, 0.01], rel=1e-12)
    assert half[TIMED[2]][2] == pytest.approx(0.505, rel=1e-12)


@timed
def test_linear_and_cosine_agree_with_those_of_torch(schedule: Any) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs: Any = {
        "ExponentialSoftness": lambda: torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.1**0.2),
        "LinearSoftness": lambda: torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 5),
        "CosineSoftness": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5, eta_min=0.1),
    }[schedule.__name__]()
    ours = schedule(torch.tensor(0.0), 1.0, 0.1, 5)
    for _ in range(5):
        optimizer.step()
        theirs.step()
        ours.step()
        assert ours.last_epoch == theirs.last_epoch
        assert ours.get_last_softness() == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)  # theirs is recursive


# -- what is driven ----------------------------------------------------------------------------------------------------


@timed
def test_a_tensor_is_filled_in_place_and_operators_see_it(schedule: Any) -> None:
    softness, x = torch.tensor(7.0), torch.tensor([0.3, 0.1])
    drive = schedule(softness, 1.0, 0.1, 3)
    for _ in range(3):
        assert float(softness) == pytest.approx(drive.get_last_softness(), rel=1e-6)  # float32
        expected = softtorch.argmax(x, softness=drive.get_last_softness())
        torch.testing.assert_close(softtorch.argmax(x, softness=softness), expected)
        drive.step()


def test_a_learned_softness_may_be_driven_too() -> None:
    softness = nn.Parameter(torch.tensor(1.0))
    softfx.LinearSoftness(softness, 1.0, 0.5, 1).step()
    assert softness.requires_grad and softness.item() == 0.5


def test_a_pattern_touches_the_sites_that_match_and_no_other() -> None:
    soft = softened()
    before = of_op(soft, "argmax")
    schedule = softfx.ExponentialSoftness(soft, 1.0, 0.01, 2, pattern="round")
    schedule.step()
    assert of_op(soft, "round") == pytest.approx(0.1)
    assert of_op(soft, "argmax") == before


def test_two_schedules_drive_two_patterns_of_one_model() -> None:
    soft = softened()
    schedules = [softfx.LinearSoftness(soft, 1.0, 0.5, 1, pattern=op) for op in ("round", "argmax")]
    schedules[1].step()
    assert (of_op(soft, "round"), of_op(soft, "argmax")) == (1.0, 0.5)


def test_a_softened_function_computes_with_the_softness_that_was_set() -> None:
    x = torch.tensor([0.3, -0.2])
    soft = softfx.soften(torch.sign, "smooth", example_inputs=(x,))
    schedule = softfx.LinearSoftness(soft, 1.0, 0.25, 1)
    torch.testing.assert_close(soft(x), softtorch.sign(x, softness=1.0))
    schedule.step()
    torch.testing.assert_close(soft(x), softtorch.sign(x, softness=0.25))


def test_a_compiled_model_follows_a_tensor_without_compiling_again() -> None:
    x, softness = torch.tensor([0.3, -0.2]), torch.tensor(1.0)
    soft = softfx.soften(torch.sign, "smooth", example_inputs=(x,))
    softfx.set_softness(soft, softness)
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(lambda x: soft(x), backend=counter)
    schedule = softfx.ExponentialSoftness(softness, 1.0, 0.1, 3)
    for _ in range(4):
        torch.testing.assert_close(compiled(x), softtorch.sign(x, softness=schedule.get_last_softness()))
        schedule.step()
    assert counter.frame_count == 1


# -- entropy -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("n", [2, 10, 1000])
def test_the_entropy_reaches_its_target(n: int, target: float) -> None:
    torch.manual_seed(0)
    softness, scores = torch.tensor(0.0, dtype=torch.float64), torch.randn(8, n, dtype=torch.float64)
    schedule = softfx.EntropySoftness(softness, target, start=1.0)
    for _ in range(400):
        schedule.step(softtorch.argmax(scores, softness=softness, dim=-1))
    found = normalized_entropy(softtorch.argmax(scores, softness=softness, dim=-1))
    assert found == pytest.approx(target, abs=1e-4)  # a geometric approach; 400 steps are enough for four digits


def test_scores_that_grow_get_a_softness_that_grows_with_them() -> None:
    torch.manual_seed(0)
    softness, scores = torch.tensor(0.0, dtype=torch.float64), torch.randn(8, 5, dtype=torch.float64)
    schedule = softfx.EntropySoftness(softness, 0.4)
    found = []
    for scale in (1.0, 10.0):
        for _ in range(200):
            schedule.step(softtorch.argmax(scale * scores, softness=softness, dim=-1, standardize=False))
        found.append(schedule.get_last_softness())
    assert found[1] / found[0] == pytest.approx(10.0, rel=1e-3)  # the scale of the scores, reached geometrically


def test_a_softened_model_is_probed_for_its_own_indices() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.4], [0.7, 0.2, 0.5]])
    policy = {"preset": "smooth", "rule": [{"op": "argmax", "outputs": "distribution"}]}
    soft = softfx.soften(lambda x: x.argmax(-1), policy, example_inputs=(scores,))
    schedule = softfx.EntropySoftness(soft, 0.5, start=1.0, probe=lambda: soft(scores))
    for _ in range(100):
        schedule.step()
    assert normalized_entropy(soft(scores)) == pytest.approx(0.5, abs=1e-3)
    assert schedule.last_entropy == pytest.approx(0.5, abs=1e-3)


def test_bounds_hold() -> None:
    softness = torch.tensor(0.0)
    schedule = softfx.EntropySoftness(softness, 0.5, start=1.0, bounds=(0.5, 2.0))
    for distribution, bound in ((torch.tensor([1.0, 0.0]), 2.0), (torch.tensor([0.5, 0.5]), 0.5)):
        for _ in range(20):
            schedule.step(distribution)
        assert schedule.get_last_softness() == bound


def test_normalized_entropy_is_0_for_one_hot_1_for_uniform_and_a_mean_over_distributions() -> None:
    assert normalized_entropy(torch.eye(3)) == 0.0
    assert normalized_entropy(torch.full((2, 7), 1 / 7)) == pytest.approx(1.0, abs=1e-7)  # 1/7 in float32
    assert normalized_entropy([torch.eye(2), torch.full((2, 4), 0.25)]) == 0.5


# -- one after another -------------------------------------------------------------------------------------------------


def sequence(target: Any) -> softfx.SequentialSoftness:
    first = softfx.LinearSoftness(target, 2.0, 1.0, 2)
    second = softfx.ExponentialSoftness(target, 1.0, 0.01, 2)
    return softfx.SequentialSoftness([first, second], [3])


def test_each_of_a_sequence_starts_at_its_own_beginning() -> None:
    softness = torch.tensor(0.0)
    schedule = sequence(softness)
    assert trace(schedule, 6) == [2.0, 1.5, 1.0, 1.0, 0.1, 0.01, 0.01]
    assert float(softness) == pytest.approx(0.01)
    assert [schedule.softness_at(epoch) for epoch in (0, 2, 4)] == [2.0, 1.0, 0.1]


def test_sequences_nest() -> None:
    softness = torch.tensor(0.0)
    last = softfx.LinearSoftness(softness, 3.0, 4.0, 1)
    schedule = softfx.SequentialSoftness([sequence(softness), last], [5])
    assert trace(schedule, 6) == [2.0, 1.5, 1.0, 1.0, 0.1, 3.0, 4.0]


def test_indices_reach_the_schedule_whose_turn_it_is() -> None:
    softness = torch.tensor(0.0)
    warm = softfx.LinearSoftness(softness, 1.0, 1.0, 1)
    schedule = softfx.SequentialSoftness([warm, softfx.EntropySoftness(softness, 0.5, start=1.0)], [1])
    schedule.step()
    schedule.step(torch.tensor([1.0, 0.0]))
    assert schedule.get_last_softness() == pytest.approx(math.exp(0.5))


# -- saving and loading ------------------------------------------------------------------------------------------------


def entropic(target: Any) -> softfx.EntropySoftness:
    scores = torch.tensor([[0.1, 0.9, 0.4]], dtype=torch.float64)
    schedule: softfx.EntropySoftness

    def probe() -> Tensor:
        return softtorch.argmax(scores, softness=schedule.get_last_softness(), dim=-1)

    schedule = softfx.EntropySoftness(target, 0.5, probe=probe)
    return schedule


MAKERS: dict[str, Callable[[Any], SoftnessSchedule]] = {
    **{schedule.__name__: lambda target, schedule=schedule: schedule(target, 1.0, 0.03, 9) for schedule in TIMED},
    "EntropySoftness": entropic,
    "SequentialSoftness": sequence,
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("stop", [0, 2, 5])
def test_a_saved_schedule_goes_on_bit_for_bit(name: str, stop: int) -> None:
    unbroken, broken = (MAKERS[name](torch.tensor(0.0, dtype=torch.float64)) for _ in range(2))
    trace(unbroken, stop)
    saved = json.loads(json.dumps(unbroken.state_dict()))  # as plain as an lr_scheduler's
    trace(broken, 1)
    broken.load_state_dict(saved)
    assert broken.last_epoch == unbroken.last_epoch == stop
    assert trace(broken, 6) == trace(unbroken, 6)


def test_loading_sets_the_softness_of_the_target() -> None:
    saved = softfx.LinearSoftness(torch.tensor(0.0), 1.0, 0.5, 2)
    saved.step()
    soft = softened()
    softfx.CosineSoftness(soft, 1.0, 0.5, 2).load_state_dict(saved.state_dict())
    assert of_op(soft, "round") == 0.75


def test_a_schedule_copies_and_pickles_with_its_target() -> None:
    for copied in (copy.deepcopy, lambda schedule: pickle.loads(pickle.dumps(schedule))):
        schedule = copied(softfx.LinearSoftness(softened(), 1.0, 0.5, 2))
        schedule.step()
        assert of_op(schedule.target, "round") == 0.75


# -- messages ----------------------------------------------------------------------------------------------------------

TENSOR = torch.tensor(1.0)
MISTAKES: dict[str, Callable[[], object]] = {
    r"LinearSoftness: a tensor of shape \(2,\) and torch.float32 cannot hold the softness": lambda: (
        softfx.LinearSoftness(torch.ones(2), 1.0, 0.1, 3)
    ),
    "a tensor of shape .* and torch.int64 cannot": lambda: softfx.LinearSoftness(torch.tensor(1), 1.0, 0.1, 3),
    "pattern 'topk' is given for a tensor": lambda: softfx.LinearSoftness(TENSOR, 1.0, 0.1, 3, pattern="topk"),
    "a Linear has no softness": lambda: softfx.LinearSoftness(nn.Linear(1, 1), 1.0, 0.1, 3),
    "end=0.0. It is a number above 0": lambda: softfx.ExponentialSoftness(TENSOR, 1.0, 0.0, 3),
    "total_iters=0. It is": lambda: softfx.CosineSoftness(TENSOR, 1.0, 0.1, 0),
    "entropy=1.5": lambda: softfx.EntropySoftness(TENSOR, 1.5),
    r"bounds=\(2.0, 1.0\)": lambda: softfx.EntropySoftness(TENSOR, 0.5, bounds=(2.0, 1.0)),
    r"step\(\) was called without indices": lambda: softfx.EntropySoftness(TENSOR, 0.5).step(),
    "is no soft choice": lambda: softfx.EntropySoftness(TENSOR, 0.5).step(torch.ones(3, 1)),
    "there are no soft indices": lambda: softfx.EntropySoftness(TENSOR, 0.5).step([]),
    r"1 schedules and milestones \[2\]": lambda: softfx.SequentialSoftness([sequence(TENSOR)], [2]),
    "milestones": lambda: softfx.SequentialSoftness([sequence(TENSOR)] * 3, [4, 2]),
    "state of another schedule, which differs in end": lambda: softfx.EntropySoftness(TENSOR, 0.5).load_state_dict(
        softfx.LinearSoftness(TENSOR, 1.0, 0.1, 3).state_dict()
    ),
    "given 0 schedules and there are 2": lambda: sequence(TENSOR).load_state_dict({}),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_told(message: str) -> None:
    with pytest.raises(softfx.ScheduleError, match=message):
        MISTAKES[message]()


def test_a_pattern_that_no_site_matches_is_told() -> None:
    with pytest.raises(softfx.PolicyError, match="no site matches 'rond'"):
        softfx.LinearSoftness(softened(), 1.0, 0.1, 3, pattern="rond")
