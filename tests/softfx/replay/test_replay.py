"""Runs that go by a recording give what the interpreter gives, and leave it where the program makes another call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from tests.helpers import outcome
from tests.softfx.replay.recorded import (
    CALLS,
    Layered,
    assert_recorded_as_interpreted,
    deciding,
    inputs,
    softened,
    tapes_of,
    unrecorded,
)

# -- programs ----------------------------------------------------------------------------------------------------------


def counting(x: Tensor, y: Tensor) -> Tensor:
    above = (x > y).float()  # whose sums carry the derivative by themselves until something bends
    left = 2.0 - above.cumsum(-1)
    return torch.where(left >= 0, above * x, y.new_zeros(())) + (above.sum(-1, keepdim=True) > 1)


def statistics(x: Tensor, y: Tensor) -> Tensor:
    return (x == x.amax(-1, keepdim=True)).float() * y + (F.relu(y) > 0) * x.sort(-1).values


def without_gradients(x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        scale = (x * 2.0).round()
    return x.sign() * scale + (y - (y - y.round()).detach())


def writing(x: Tensor, y: Tensor) -> Tensor:
    z = x.clone()
    z[y > 0] = 0.5
    z += y
    z.t()[0].mul_(2.0)
    return F.relu(z, inplace=True) + z.argmax(-1).unsqueeze(-1)


def drawing(x: Tensor, y: Tensor) -> Tensor:
    noise = torch.randn_like(x)
    return F.dropout((x + noise > y).float() * x, 0.5)


def in_half(x: Tensor, y: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        scores = x @ y.t()
    return scores.argmax(-1).float() * y.sum(-1) + F.gumbel_softmax(x, hard=True).sum(-1)


def structured(x: Tensor, y: Tensor) -> dict[str, Any]:
    values, places = x.topk(2, dim=-1)
    return {"pair": (values * y[:, :2], places), "shape": tuple(x.shape), "parts": [*torch.floor(y).unbind()]}


PROGRAMS = [deciding, counting, statistics, without_gradients, writing, drawing, in_half, structured]


KEPT = {"preset": "gradients", "rule": [{"op": ["gt", "round", "argmax"], "action": "keep"}]}


@pytest.mark.parametrize("policy", ["gradients", "straight-through", KEPT], ids=["gradients", "straight", "kept"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_recorded_run_is_an_interpreted_one(program: Callable[..., Any], policy: Any) -> None:
    x, y = inputs()
    given = [(x, y), (x, y), (x, y), (y * 2, x), (x - 1, y + 1)]
    soft = assert_recorded_as_interpreted(lambda: softened(program, x, y, policy=policy), given)
    (tape,) = tapes_of(soft)
    assert tape.steps is not None and (tape.replayed, tape.left) == (CALLS - 2, 0)


def test_modules_keep_their_state_and_their_mode() -> None:
    (x,) = inputs(1)
    rule = {"module": "layers.1", "op": "gt", "action": "keep"}
    soft = assert_recorded_as_interpreted(
        lambda: softened(Layered(), x, policy={"preset": "gradients", "rule": [rule]}), [(x,)] * CALLS
    )
    assert soft.steps == CALLS and tapes_of(soft)[0].left == 0
    soft.eval()
    before = outcome(soft, (x,)).results[0]
    assert torch.equal(before, outcome(soft, (x,)).results[0]) and tapes_of(soft)[0].left > 0


def test_parameters_are_those_of_each_call() -> None:
    (x,) = inputs(1)
    soft, original = softened(Layered().eval(), x), Layered().eval()
    for call in range(CALLS):
        with torch.no_grad():
            for module in (soft, original):
                for parameter in module.parameters():
                    parameter.add_(0.01 * call)
        assert torch.equal(soft(x), original(x))


# -- where another call is made ----------------------------------------------------------------------------------------


def branching(x: Tensor) -> Tensor:
    y = x.round() * 2
    return torch.sign(y) * x if bool(y.sum() > 0) else torch.floor(x) - y


def selecting(x: Tensor) -> Tensor:
    return x[x > 0].round().sum() * x.argmax()


def looping(x: Tensor) -> Tensor:
    for _ in range(int(x.abs().sum())):
        x = x - x.round() * 0.25
    return x


@pytest.mark.parametrize("program", [branching, selecting, looping], ids=lambda program: program.__name__)
def test_a_run_leaves_the_recording_where_its_data_leads_elsewhere(program: Callable[..., Any]) -> None:
    (x,) = inputs(1)
    given = [(-x * 2,), (x,), (x,), (-x * 2,), (x,), (x * 3 - 9,)]
    soft = assert_recorded_as_interpreted(lambda: softened(program, x), given)
    (tape,) = tapes_of(soft)
    assert 1 <= tape.left < tape.replayed


FACTOR, WEIGHT = [2.0], [torch.ones(4)]


def test_a_run_leaves_the_recording_where_something_around_it_has_changed() -> None:
    def program(x: Tensor) -> Tensor:
        return (x * FACTOR[0]).round() * WEIGHT[0]

    (x,) = inputs(1)
    soft = softened(program, x)
    try:
        for factor, weight in [(2.0, 1.0)] * 4 + [(3.0, 1.0), (2, 1.0), (2.0, 5.0)]:
            FACTOR[0], WEIGHT[0] = factor, torch.full((4,), weight)
            assert torch.equal(soft(x), program(x))
        assert tapes_of(soft)[0].left == 2  # a weight is looked up in each call
        WEIGHT[0].requires_grad_()
        assert torch.autograd.grad(soft(x).sum(), WEIGHT[0])[0].abs().sum() > 0
        assert tapes_of(soft)[0].left == 3
    finally:
        FACTOR[0], WEIGHT[0] = 2.0, torch.ones(4)


def test_one_tensor_in_two_places_is_another_call_than_two() -> None:
    def program(x: Tensor, y: Tensor) -> Tensor:
        return (x == y.amax(-1, keepdim=True)).float() * x + y.round()

    x, y = inputs()
    assert_recorded_as_interpreted(lambda: softened(program, x, y), [(x, y)] * 3 + [(x, x)] * 3 + [(x, y)])


def test_a_recording_that_is_left_early_is_given_up_and_one_that_is_left_late_is_not() -> None:
    def early(x: Tensor, step: int) -> Tensor:
        return (x * step).round().sum(-1) + 1.0

    def late(x: Tensor, step: int) -> Tensor:
        return (x + 1.0).round().sum(-1) * step

    (x,) = inputs(1)
    for program, is_given_up in ((early, True), (late, False)):
        soft = softened(program, x, torch.ones((), dtype=torch.int64))
        for step in range(12):
            soft(x, step)
        (tape,) = tapes_of(soft)
        assert tape.is_unfit is is_given_up and tape.left > 7


# -- where the recording does not hold any more ------------------------------------------------------------------------


def test_a_softness_that_changes_is_that_of_the_next_call() -> None:
    x = inputs(1)[0].requires_grad_()
    soft = softened(lambda x: torch.sigmoid(8 * x).round() * x, x)
    found = []
    for softness in [0.3] * CALLS + [0.05]:
        softfx.set_softness(soft, softness)
        found.append(torch.autograd.grad(soft(x).sum(), x)[0])
    assert torch.equal(found[0], found[-2]) and not torch.allclose(found[0], found[-1])


def test_a_softness_that_is_learned_is_that_of_each_call() -> None:
    def losses(recorded: bool) -> list[float]:
        x, y = (tensor.requires_grad_() for tensor in inputs())
        soft = softened(lambda x, y: ((x > y).float() * x).sum(), x, y)
        softness = torch.full((), 0.3, requires_grad=True)
        softfx.set_softness(soft, softness)
        if not recorded:
            unrecorded(soft)
        optimizer, found = torch.optim.SGD([softness, x], lr=0.05), []
        for _ in range(2 * CALLS):
            optimizer.zero_grad()
            (slope,) = torch.autograd.grad(soft(x, y), y, create_graph=True)
            loss = slope.square().sum()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        assert bool(tapes_of(soft)[0].replayed) is recorded
        return found

    assert losses(True) == losses(False)


def test_what_is_measured_again_counts_at_once() -> None:
    x = inputs(1)[0].requires_grad_()
    soft = softened(lambda x: (x > 0).float() * x, x)
    before = [torch.autograd.grad(soft(x).sum(), x)[0] for _ in range(CALLS)][-1]
    softfx.remeasure(soft, x * 100)
    assert not torch.allclose(before, torch.autograd.grad(soft(x).sum(), x)[0])


def test_a_rule_that_is_registered_later_counts_at_once() -> None:
    x = inputs(1)[0].requires_grad_()
    soft = softened(lambda x: x.round() + torch.special.i1e(x), x, policy="straight-through")
    for _ in range(CALLS):
        soft(x)
    with softfx.registered_rule(torch.special.i1e, torch.erfc, op="test_i1e", options=()):
        soft(x)
        assert "test_i1e" in [site.op for site in soft.report.sites]


def test_without_gradients_and_under_transforms_there_is_no_recording() -> None:
    (x,) = inputs(1)
    soft = softened(lambda x: x.round() * x, x)
    for _ in range(CALLS):
        with torch.no_grad():
            assert torch.equal(soft(x), x.round() * x)
        assert torch.func.vmap(torch.func.grad(lambda row: soft(row).sum()))(x).shape == x.shape
    assert not any(tape.steps for tape in tapes_of(soft))
