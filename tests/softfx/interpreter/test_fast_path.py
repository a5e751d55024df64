"""The fast path gives what the full interpretation gives: values, gradients, sites, whatever a program does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.interpreter.fast_path import FastPathCache
from softfx.interpreter.interpreter import Interpreter
from softfx.ops.spelling import INDEX
from softfx.values import Environment, FactStore, ValueFacts
from tests.generated import views
from tests.generated.programs import Program, make
from tests.generated.running import build
from tests.generated.shrink import shrink
from tests.helpers import assert_same, difference, run_eagerly


def own_straight_through(x: Tensor, y: Tensor) -> Tensor:
    q = torch.round(x)
    return (x + (q - x).detach()) * y - (y - (y - torch.sign(y)).detach())


def counting(x: Tensor, y: Tensor) -> Tensor:
    above = (x > y).float()
    room = torch.full((), 2.0) - above.cumsum(-1)
    return torch.where(room >= 0, x * above, y.new_zeros(())).sum(-1)


def moving(x: Tensor, y: Tensor) -> Tensor:
    places = x.argsort(-1)
    pieces = torch.stack([x, y], dim=1)[:, 0, ...].contiguous().chunk(1, dim=-1)
    return torch.cat([pieces[0].gather(-1, places), y[..., :1].expand_as(x)], -1).view(-1).unsqueeze(0)


def writing(x: Tensor, y: Tensor) -> Tensor:
    z = x.clone()
    z[y > 0] = 0.5
    z += y
    return F.relu(z, inplace=True) / (1.0 + y.abs())


def detaching(x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        scale = (x * 2.0).round()
    return F.softmax(x.detach() + y, dim=-1, dtype=torch.float64).to(x.dtype) * scale + x.type_as(y).floor()


def reading(x: Tensor, y: Tensor) -> Tensor:
    best = int(torch.argmax(x.sum(-1)))
    rows = x[x > 0]
    return x[best] * y[best] + rows.sum() + (x.numel() // 2) + x.T.shape[0]


def dividing(x: Tensor, y: Tensor) -> Tensor:
    return torch.div(x, y.abs() + 0.1) + torch.div(x, 0.3, rounding_mode="floor") + x / torch.tensor([1, 2, 4, 8])


def updating(x: Tensor, y: Tensor) -> Tensor:
    z, steps, table = x * 1, torch.zeros((), dtype=torch.int64), torch.zeros(3, 4)
    kept = z.exp()  # whose derivative keeps it
    kept_row = z[0]
    for _ in range(3):
        steps.add_(1)
        z.mul_(0.5).add_(y, alpha=2)
        table[1] = y[0]
        table.masked_fill_(y > 1, -1.0)
    mask = (z > 0).float()
    row = mask[1]
    mask.sub_(0.25).mul_(x)
    z.clamp_(-1, 2)
    normed = F.batch_norm(F.hardtanh(z, inplace=True), torch.zeros(4), torch.ones(4), training=True)
    return kept + kept_row + row * 2 + mask + normed * steps + table.copy_(z.round())


PROGRAMS = [own_straight_through, counting, moving, writing, detaching, reading, dividing, updating]
POLICIES = ["straight-through", "smooth"]


@pytest.mark.parametrize("needs_gradient", [True, False], ids=["trained", "given"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_both_ways_give_the_same(program: Callable[..., Any], policy: str, needs_gradient: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = (torch.randn(3, 4, generator=generator), torch.randn(3, 4, generator=generator))
    fast, full = (run_eagerly(program, policy, inputs, way, needs_gradient) for way in (True, False))
    assert fast.error is None
    assert_same(fast, full)


CHUNK = 50
# A kept decision gives an integer or a bool of which only the facts say that it depends on a source.
SOME_KEPT = {"preset": "smooth", "rule": [{"op": ["gt", "lt", "argmax", "sort", "topk", "round"], "action": "keep"}]}
POLICIES_IN_TURN = ("gradients", "straight-through", "smooth", "lifted", SOME_KEPT)


def difference_of_ways(program: Program) -> str:
    """How the outcomes of the two ways differ for a generated program; empty where they do not.

    Of every third program the inputs require no gradient: the facts of all its values have to be remembered.
    """
    built, policy = build(program), POLICIES_IN_TURN[program.seed % len(POLICIES_IN_TURN)]
    needs_gradient = program.seed % 3 != 0
    fast, full = (run_eagerly(built.target(), policy, built.inputs(), way, needs_gradient) for way in (True, False))
    # A linear call carries the derivative by itself on the fast path, and hands it on beside its result on the other.
    return difference(fast, full, rounded=True)


def still_differs(program: Program) -> bool:
    try:
        return difference_of_ways(program) != ""
    except Exception:  # it does not run any more
        return False


@pytest.mark.filterwarnings("ignore")  # of torch: programs mean nothing
@pytest.mark.parametrize(
    "start", [*range(0, 300, CHUNK), *(pytest.param(n, marks=pytest.mark.fuzz) for n in range(300, 3000, CHUNK))]
)
def test_both_ways_give_the_same_on_generated_programs(start: int) -> None:
    for seed in range(start, start + CHUNK):
        program = make(seed)
        found = difference_of_ways(program)
        if found:
            pytest.fail(f"seed {seed}: {found}\n{shrink(program, still_differs).source}")


@pytest.mark.filterwarnings("ignore")  # of torch: programs mean nothing
@pytest.mark.parametrize("start", [0, *(pytest.param(n, marks=pytest.mark.fuzz) for n in range(CHUNK, 1000, CHUNK))])
def test_both_ways_give_the_same_on_programs_that_write_through_views(start: int) -> None:
    for seed in range(start, start + CHUNK):
        assert difference_of_ways(views.make(seed)) == "", f"seed {seed}"


def overwriting(x: Tensor, y: Tensor) -> Tensor:
    factor = (x > y).float().exp()
    result = factor * y
    factor += 1.0  # a product noted by its place: its derivative is made of the factor as it was
    return result.sigmoid() + (x * y).cos() / factor


@pytest.mark.parametrize("policy", POLICIES)
def test_calls_noted_by_their_places_alone_are_the_interpreters(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = (torch.randn(3, 4, generator=generator), torch.randn(3, 4, generator=generator))
    fast, full = (run_eagerly(overwriting, policy, inputs, way, True) for way in (True, False))
    assert_same(fast, full)
    x, y = (tensor.requires_grad_() for tensor in inputs)
    soft = softfx.soften(overwriting, policy, example_inputs=(x, y), executor="eager")
    soft(x, y)
    made: list[str] = []
    interpret = Interpreter.interpret
    monkeypatch.setattr(Interpreter, "interpret", lambda self, call: (made.append(call.name), interpret(self, call))[1])
    soft(x, y)
    assert "mul" in made and "cos" not in made


def test_a_site_that_was_not_met_before_joins_the_report() -> None:
    def branching(x: Tensor) -> Tensor:
        return torch.round(x) if bool(x.sum() > 0) else F.relu(torch.floor(x))

    soft = softfx.soften(branching, example_inputs=(torch.ones(2),), executor="eager")
    x = torch.full((2,), -0.3, requires_grad=True)
    soft(x)
    assert {("floor", "straight_through"), ("relu", "keep")} <= {(s.op, s.action) for s in soft.report.sites}


def test_a_rule_registered_later_is_known_at_the_next_call() -> None:
    def program(x: Tensor) -> Tensor:
        return torch.round(x) + torch.special.i1e(x)

    x = torch.ones(2, requires_grad=True)
    soft = softfx.soften(program, "straight-through", example_inputs=(x,), executor="eager")
    soft(x)
    with softfx.registered_rule(torch.special.i1e, torch.erfc, op="test_i1e", options=()):
        soft(x)
        assert "test_i1e" in [site.op for site in soft.report.sites]
    assert INDEX.of(torch.special.i1e).operation.name != "test_i1e"


def test_what_was_found_is_neither_copied_nor_pickled() -> None:
    cache = FastPathCache()
    assert cache.info(torch.neg, softfx.Policy.load(None)) is not None
    assert copy.deepcopy(cache).functions == {} and pickle.loads(pickle.dumps(cache)).functions == {}


def test_nothing_is_remembered_of_a_tensor_whose_flag_says_everything() -> None:
    environment, weight = Environment(), torch.ones(2, requires_grad=True)
    assert environment.facts(weight).depends_on_source and not environment.facts(torch.ones(2)).depends_on_source
    environment.set(weight, ValueFacts(True))
    assert not environment.entries
    environment.set(weight, ValueFacts(True, gradient_sites=frozenset({1})))
    assert environment.facts(weight).gradient_sites == {1}


def test_the_store_of_facts_does_not_grow_without_end() -> None:
    store = FactStore()
    for number in range(3 * store._MOST):
        store.shared(ValueFacts(False, fill=float(number)))
    assert len(store._records) <= store._MOST + 1
