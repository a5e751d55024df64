"""Runs that go by a recording give what the interpreter gives, and leave it where the program makes another call."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary

import softfx
from softfx.replay.records import Made, Step
from softfx.replay.tapes import Tape, Tapes
from softfx.replay.text import Program, Text
from softfx.replay.values import Unmakeable
from softfx.replay.writing import _make
from tests.helpers import Outcome, assert_same, outcome

CALLS = 5


def tapes_of(soft: Any) -> list[Tape]:
    return list(soft._softfx.eager.tapes._tapes.values())


def inputs(count: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(3, 4, generator=generator) for _ in range(count))


def softened(program: Any, *given: Any, policy: Any = "gradients") -> Any:
    args = [value.detach().clone().requires_grad_(value.is_floating_point()) for value in given]
    return softfx.soften(program, policy, example_inputs=tuple(args), executor="eager", allow_unused=True)


def calls(soft: Any, given: list[tuple[Any, ...]], recorded: bool) -> list[Outcome]:
    """The outcomes of calls; of none is a recording made where they are not `recorded`."""
    if not recorded:
        soft._softfx.eager.tapes._recordings = 1 << 30
    return [outcome(soft, args, catch=True) for args in given]


def assert_recorded_as_interpreted(make: Callable[[], Any], given: list[tuple[Any, ...]]) -> Any:
    """The same program both ways, bit for bit; the one whose calls were recorded."""
    soft, other = make(), make()
    for ours, theirs in zip(calls(soft, given, True), calls(other, given, False), strict=True):
        assert_same(ours, theirs)
    assert soft.report.to_dict() == other.report.to_dict()
    assert not any(tape.steps for tape in tapes_of(other))
    return soft


# -- programs ----------------------------------------------------------------------------------------------------------


def deciding(x: Tensor, y: Tensor) -> Tensor:
    best = F.softmax(x, -1).argmax(-1)
    mask = F.one_hot(best, 4).float() * (y > 0.1)
    return mask.sum(-1) * y.max(-1).values + x.round().sum(-1) + y[torch.arange(3), best]


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


class Layered(nn.Module):
    """Modules of one kind, told apart by their names, with state that is written and a mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.3)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1
        for layer in self.layers:
            x = layer(x) * (x > 0)
        return self.drop(self.norm(x)).round() * x.argmax(-1, keepdim=True)


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


# -- what is left behind -----------------------------------------------------------------------------------------------


def test_a_run_keeps_nothing_alive() -> None:
    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[weakref.ref[Tensor]] = []

        def forward(self, x: Tensor) -> Tensor:
            early = (x * 3).round()
            self.seen.append(weakref.ref(early))
            late = early.argmax(-1)
            return late.sum() + x.floor().sum()

    (x,) = inputs(1)
    soft = softened(Watched(), x)
    for _ in range(CALLS):
        soft(x)
    gc.collect()
    assert all(reference() is None for reference in soft.seen)
    count = _alive()
    for _ in range(20):
        soft(x)
    assert _alive() == count


def _alive() -> int:
    gc.collect()
    return sum(type(each) is Tensor for each in gc.get_objects())


def test_what_the_program_raises_is_raised_as_it_is_and_the_next_run_is_whole() -> None:
    def program(x: Tensor, index: Tensor) -> Tensor:
        return x.round()[index] * x.sum()

    x, index = inputs(1)[0], torch.tensor([0, 2])
    soft = softened(program, x, index)
    for _ in range(CALLS):
        soft(x, index)
    with pytest.raises(IndexError, match="out of bounds"):
        soft(x, torch.tensor([0, 7]))
    assert torch.equal(soft(x, index), program(x, index)) and tapes_of(soft)[0].left == 1


def test_threads_go_by_one_recording() -> None:
    x, y = inputs()
    soft = softened(deciding, x, y)
    wanted = [outcome(soft, (x + place, y)) for place in range(8) for _ in range(2)][1::2]
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda place: _gradients(soft, x + place, y), [*range(8)] * 10)]
    for number, (value, gradient) in enumerate(found):
        assert torch.equal(value, wanted[number % 8].results[0]) and gradient.isfinite().all()
    assert tapes_of(soft)[0].replayed > 60


def _gradients(soft: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x = x.requires_grad_()
    value = soft(x, y.clone().requires_grad_())
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]


def test_copies_make_recordings_of_their_own() -> None:
    (x,) = inputs(1)
    soft = softened(Layered().eval(), x)
    for _ in range(CALLS):
        soft(x)
    for other in (copy.deepcopy(soft), pickle.loads(pickle.dumps(soft))):
        assert not tapes_of(other) and torch.equal(other(x), soft(x))
    assert not copy.deepcopy(Tapes())._tapes


def test_runs_with_many_elements_are_not_recorded() -> None:
    x = torch.zeros(1 << 12, 1 << 9)
    soft = softened(lambda x: (x > 0).float() * x, x)
    for _ in range(4):
        soft(x.requires_grad_())
    (tape,) = tapes_of(soft)
    assert tape.is_unfit and tape.steps is None


def test_what_a_generator_computes_later_is_softened_as_before() -> None:
    def program(x: Tensor) -> Iterator[Tensor]:
        y = x.round()
        for row in y:
            yield row.sign() * x

    x = inputs(1)[0].requires_grad_()
    soft = softened(program, x)
    for _ in range(CALLS):
        rows = [*soft(x)]
        assert all(torch.autograd.grad(row.sum(), x, retain_graph=True)[0].abs().sum() > 0 for row in rows)


def test_a_softened_part_runs_by_its_own_decisions() -> None:
    (x,) = inputs(1)
    part = softened(lambda x: x.round(), x)
    whole = softened(lambda x: part(x * 2) + x.sign(), x)
    for _ in range(CALLS):
        x = x.detach().requires_grad_()
        value = whole(x)
        assert torch.equal(value, (x * 2).round() + x.sign())
        assert torch.autograd.grad(value.sum(), x)[0].abs().sum() > 0


def named(x: Tensor, **names: float) -> Tensor:
    if has_torch_function_unary(x):
        result: Tensor = handle_torch_function(named, (x,), x, **names)
        return result
    return x * sum(names.values())


@pytest.mark.parametrize("name", ["a=print('run')), open('x'", "a b", "class"])
def test_a_name_of_an_argument_is_no_code(name: str) -> None:
    (x,) = inputs(1)
    with pytest.raises(softfx.CaptureError, match="no name in Python"):
        softened(lambda x: named(x.round(), **{name: 2.0}) * x.argmax(), x)


def test_arguments_that_cannot_be_named_are_left_to_the_interpreter() -> None:
    x = inputs(1)[0].requires_grad_()
    step = Step(named, (x,), {})
    step.made.append(Made(named, (x,), {"a b": 1.0}, x))
    with pytest.raises(Unmakeable, match="no name of Python's"):
        _make(Text(Program([x]), step, 0), step.made[0])
