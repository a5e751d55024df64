"""The frontends: one plan whichever sees the call, no trace of the look, obstacles found, refusals that say why."""

from __future__ import annotations

import importlib
import random
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import softfx
from softfx.errors import CaptureError, TargetError
from tests.softfx.cases import CASES

ZOO = Path(__file__).parents[1] / "zoo"
FRONTENDS = ("eager", "dynamo", "fx")
TRACERS = ("dynamo", "fx")

Plan = list[tuple[str, str, int, str, str, str]]


def plan(report: softfx.Report) -> Plan:
    return [(s.module, s.file, s.line, s.op, s.action, s.reason) for s in report.sites]


def line_of(function: Callable[..., Any], text: str) -> int:
    """The line of this file, within `function`, that holds `text`."""
    first = function.__code__.co_firstlineno
    with open(__file__) as file:
        lines = file.read().splitlines()
    return next(number for number in range(first, len(lines) + 1) if text in lines[number - 1])


# -- small modules -----------------------------------------------------------------------------------------------


class Configured(nn.Module):
    """Python branches and loops on configuration, shapes and the training flag."""

    def __init__(self, layers: int = 3, residual: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(layers))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            y = torch.relu(layer(x)) - torch.relu(-x)  # two sites on one line, in one module
            x = x + y if self.residual else y
        if x.shape[-1] > 4 and not self.training:
            x = x.round()
        return x


class Buffered(nn.Module):
    """A running statistic, kept in a buffer and written in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(6))
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = self.mean  # type: ignore[assignment]
        mean.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
        return torch.where(self.norm(x) > mean, x, -x)


class Tied(nn.Module):
    """One weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 6, bias=False)
        self.decode = nn.Linear(6, 6, bias=False)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        return F.hardtanh(self.decode(self.encode(x).sign()))


class Parts(NamedTuple):
    best: Tensor
    rest: tuple[Tensor, int]


class Nested(nn.Module):
    """Nested containers out, keyword arguments in, unpacked results, modules in modules."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({"tied": Tied(), "plain": nn.Sequential(nn.Linear(6, 6), nn.ReLU())})

    def forward(self, x: Tensor, *, scale: float = 1.0, mask: Tensor | None = None) -> dict[str, Any]:
        hidden = self.inner["plain"](x) + self.inner["tied"](x)
        values, indices = hidden.topk(2, dim=-1)
        if mask is not None:
            values = values.masked_fill(mask, 0.0)
        return {"values": values * scale, "parts": Parts(indices, (hidden.max(-1).values, 3))}


@dataclass
class Output:
    chosen: Tensor


class Reflected(nn.Module):
    """Reflected and unary operators, properties, rows as a sequence, in-place operators on views."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = 1 - x.T // 2 + 2 ** abs(x.mT) % 3
        first, *others = x[:3]
        first = first + sum(others)
        view = y[0]
        view += first.round().sum()
        ~(x > 0) | (x < 0.5)  # nobody uses it
        return y, -y.clamp(max=1), torch.stack([row.relu() for row in x])


class Guarded(nn.Module):
    """Decisions inside no_grad blocks and decorators, and existing straight-through code."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(6, 4)

    @torch.no_grad()
    def route(self, x: Tensor) -> Tensor:
        return self.gate(x).argmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            keep = x > 0
        route = F.one_hot(self.route(x), 4).float()
        rounded = x + (x.round() - x).detach()
        return (rounded * keep).sum(-1, keepdim=True) * route * self.gate(x).softmax(-1)


class Random(nn.Module):
    """Draws of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand(x.shape) + torch.rand_like(x)
        return self.drop(x + noise).round() + (F.gumbel_softmax(x, hard=True) > 0.5)


def _small(kind: type[nn.Module], **kwargs: Any) -> Callable[[], tuple[nn.Module, tuple[Tensor, ...], dict[str, Any]]]:
    def build() -> tuple[nn.Module, tuple[Tensor, ...], dict[str, Any]]:
        torch.manual_seed(0)
        return kind(), (torch.randn(5, 6),), dict(kwargs)

    return build


def _case(name: str) -> Callable[[], tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    return lambda: (*CASES[name](), {})


SMALL: dict[str, Callable[[], tuple[Any, tuple[Any, ...], dict[str, Any]]]] = {
    **{name: _case(name) for name in CASES},
    "configured": _small(Configured),
    "buffered": _small(Buffered),
    "tied": _small(Tied),
    "nested": _small(Nested, scale=2.0, mask=torch.tensor([True, False])),
    "reflected": _small(Reflected),
    "guarded": _small(Guarded),
    "random": _small(Random),
}


def leaves(result: Any) -> list[Any]:
    return torch.utils._pytree.tree_leaves(result)


def outcome(soft: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], list[Tensor | None]]:
    """Results and the gradients of their weighted sum, from one random state."""
    torch.manual_seed(1)
    args = tuple(arg.clone().requires_grad_(arg.is_floating_point()) for arg in args)
    results = leaves(soft(*args, **kwargs))
    sources = [arg for arg in args if arg.requires_grad]
    sources += list(soft.parameters()) if isinstance(soft, nn.Module) else []
    weighted = [
        (r * torch.linspace(-1, 2, r.numel()).reshape(r.shape)).sum()
        for r in results
        if isinstance(r, Tensor) and r.requires_grad
    ]
    gradients = torch.autograd.grad(sum(weighted), sources, allow_unused=True) if weighted else []  # type: ignore[arg-type]
    return [r.detach() if isinstance(r, Tensor) else r for r in results], list(gradients)


def assert_equal(one: list[Any], other: list[Any]) -> None:
    for a, b in zip(one, other, strict=True):
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            assert a.dtype == b.dtype and torch.equal(a.nan_to_num(), b.nan_to_num())
        else:
            assert a == b


@pytest.mark.parametrize("policy", ["straight-through", "smooth"])
@pytest.mark.parametrize("frontend", TRACERS)
@pytest.mark.parametrize("name", [name for name in SMALL if name != "contact"])
def test_each_frontend_gives_one_plan_and_the_same_values_and_gradients(name: str, frontend: str, policy: str) -> None:
    soft = {}
    for capture in ("eager", frontend):
        target, args, kwargs = SMALL[name]()
        soft[capture] = softfx.soften(target, policy, example_inputs=args, example_kwargs=kwargs, capture=capture)
    reports = soft["eager"].report, soft[frontend].report
    assert reports[1].frontend == frontend and "bit for bit" in reports[1].why_frontend
    assert plan(reports[0]) == plan(reports[1]) and reports[0].sites
    assert reports[0].executor == reports[1].executor == "graph"
    assert reports[0].static == reports[1].static and reports[0].starved == reports[1].starved
    results = [outcome(soft[capture], args, kwargs) for capture in ("eager", frontend)]
    assert_equal(results[0][0], results[1][0])
    assert_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_parameters_come_from_the_module_by_their_own_names(frontend: str) -> None:
    target, args, kwargs = SMALL["buffered"]()
    soft = softfx.soften(target, "straight-through", example_inputs=args, capture=frontend)
    assert set(soft._softfx.graph.rewritten.lifted) >= {"mean", "norm.weight", "norm.bias"}
    with torch.no_grad():
        target.norm.weight.fill_(0.0)  # shared with the original: nothing was baked in
    assert soft(*args).grad_fn is not None and not outcome(soft, args, kwargs)[0][0].equal(args[0])


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_the_iterations_of_a_loop_are_one_site_and_two_calls_on_a_line_are_two(frontend: str) -> None:
    def looped(x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.relu(x - 0.1) + torch.relu(x)
        return x

    report = softfx.check(looped, example_inputs=(torch.randn(4),), capture=frontend)
    assert [site.op for site in report.sites] == ["relu", "relu"]
    assert {site.line for site in report.sites} == {line_of(looped, "torch.relu(x - 0.1)")}


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_plain_dataclass_comes_back_whole_or_is_refused(frontend: str) -> None:
    def chosen(x: Tensor) -> Output:
        return Output(x.round())

    x = torch.randn(4)
    if frontend == "fx":
        with pytest.raises(CaptureError, match="would keep proxies, for it returns a Output, which may hold"):
            softfx.check(chosen, example_inputs=(x,), capture=frontend)
        return
    soft = softfx.soften(chosen, "straight-through", example_inputs=(x,), capture=frontend)
    assert soft.report.executor == "eager" and torch.equal(soft(x).chosen, x.round())


def test_auto_takes_the_eager_frontend_and_says_so() -> None:
    report = softfx.check(torch.round, example_inputs=(torch.randn(3),))
    assert report.frontend == "eager" and report.why_frontend


# -- no trace ----------------------------------------------------------------------------------------------------


class Stateful(nn.Module):
    """Everything a careless look would change."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.linear.bias.requires_grad_(False)
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(6))
        self.generator = torch.Generator().manual_seed(3)
        self.calls = 0
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = self.drop(self.norm(self.linear(x)))
        seen: Tensor = self.seen  # type: ignore[assignment]
        seen += y.detach().sum(0)
        self.last = y
        y = y * random.random() * np.random.rand()
        return (y + torch.rand(6, generator=self.generator)).round()


class Branching(Stateful):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if bool(y.sum() > 0) else -y


def snapshot(module: Stateful) -> list[Any]:
    tensors = [*module.parameters(), *module.buffers()]
    numpy_state = np.random.get_state()
    return [
        [id(tensor) for tensor in tensors],
        [tensor.detach().clone() for tensor in tensors],
        [tensor.requires_grad for tensor in tensors],
        [tensor.grad for tensor in tensors],
        [part.training for part in module.modules()],
        [sorted(part.__dict__) for part in module.modules()],
        torch.get_rng_state(),
        random.getstate(),
        [numpy_state[1].tolist(), numpy_state[2]],  # type: ignore[index]
        module.generator.get_state(),
        (module.calls, module.last),
        torch.is_grad_enabled(),
    ]


def flat(tree: Any) -> Iterator[Any]:
    if isinstance(tree, tuple | list):
        for item in tree:
            yield from flat(item)
    else:
        yield tree


@pytest.mark.parametrize("kind", [Stateful, Branching])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_capturing_leaves_no_trace_whether_it_succeeds_or_not(
    frontend: str, training: bool, kind: type[Stateful]
) -> None:
    torch.manual_seed(0)
    module = kind().train(training)
    x = torch.randn(4, 6)
    before, x_before = snapshot(module), x.clone()
    try:
        softfx.check(module, example_inputs=(x,), capture=frontend)
    except CaptureError:
        assert frontend != "eager"
    for old, new in zip(flat(before), flat(snapshot(module)), strict=True):
        assert torch.equal(old, new) if isinstance(old, Tensor) else old == new
    assert torch.equal(x, x_before) and not x.requires_grad and x.grad is None


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_capturing_disturbs_no_compiled_function_and_no_globals(frontend: str) -> None:
    compilations = []

    def backend(module: Any, inputs: Any) -> Any:
        compilations.append(module)
        return module.forward

    module = Configured()
    compiled = torch.compile(module, backend=backend)
    x = torch.randn(5, 6)
    compiled(x)
    count, names = len(compilations), set(globals())
    with torch._dynamo.config.patch(recompile_limit=1):  # more looks than a code object may be compiled
        for _ in range(2):
            softfx.check(module, example_inputs=(x,), capture=frontend)
        compiled(x)
    assert len(compilations) == count and set(globals()) == names


# -- obstacles ---------------------------------------------------------------------------------------------------


class Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class Swish(torch.autograd.Function):
    """A forward that is a classmethod, as entmax writes it."""

    @classmethod
    def forward(cls, ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x) * 2

    @classmethod
    def backward(cls, ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def reads_item(x: Tensor) -> Tensor:
    return x.round() * x.sum().item()


def branches(x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x.round()
    return x.abs()


def selects(x: Tensor) -> Tensor:
    return x[x > 0].sum()


def steps(x: Tensor) -> Tensor:
    return Step.apply(x).relu()  # type: ignore[no-any-return, no-untyped-call]


def swishes(x: Tensor) -> Tensor:
    return Swish.apply(x).relu()  # type: ignore[no-any-return, no-untyped-call]


def casts(x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return (x @ x.T).round()


def looks_at_gradients(x: Tensor) -> Tensor:
    return x.round() if x.requires_grad else x.relu()


def draws(x: Tensor) -> Tensor:
    return x.round() * random.random()


def draws_with_numpy(x: Tensor) -> Tensor:
    return x.round() * float(np.random.rand())


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x.round() * self.calls


class Remembering(nn.Module):
    memory: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = x.round() if self.memory is None else x + self.memory
        self.memory = y
        return y


OBSTACLES: dict[str, tuple[Any, str]] = {
    "item": (reads_item, "item reads a value into Python"),
    "branch": (branches, "bool__ reads a value into Python"),
    "selection": (selects, "getitem has a shape that depends on data"),
    "function": (steps, "the custom autograd.Function Step, whose backward a graph of its forward would lose"),
    "classmethod": (swishes, "the custom autograd.Function Swish, whose backward a graph of its forward would lose"),
    "autocast": (casts, "autocast is switched inside the call"),
    "requires_grad": (looks_at_gradients, "requires_grad reads a value into Python"),
    "random": (draws, "the call draws from Python's random, whose numbers a graph would repeat"),
    "numpy": (draws_with_numpy, "the call draws from numpy.random, whose numbers a graph would repeat"),
    "counter": (Counting(), "the call replaces Counting.calls: it keeps state between calls"),
    "memory": (Remembering(), "the call replaces Remembering.memory: it keeps state between calls"),
}


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("name", OBSTACLES)
def test_the_eager_frontend_names_what_no_graph_holds(name: str, requires_grad: bool) -> None:
    target, reason = OBSTACLES[name]
    x = torch.randn(4, 4).abs().requires_grad_(requires_grad)
    with pytest.raises(CaptureError, match=f"no graph holds the call: .*{re.escape(reason)}.*executor='auto'"):
        softfx.soften(target, "straight-through", example_inputs=(x,), executor="graph")
    assert softfx.soften(target, "straight-through", example_inputs=(x,)).report.executor == "eager"


@pytest.mark.parametrize("frontend", TRACERS)
@pytest.mark.parametrize("name", OBSTACLES)
def test_a_tracer_refuses_with_the_line_or_names_the_same_obstacle(name: str, frontend: str) -> None:
    target, reason = OBSTACLES[name]
    x = torch.randn(4, 4).abs().requires_grad_()
    try:
        report = softfx.check(target, "straight-through", example_inputs=(x,), capture=frontend)
    except CaptureError as refusal:
        assert re.search(rf"capture='{frontend}' cannot see the whole call: .*capture='auto'", str(refusal))
        assert f"{__file__}:" in str(refusal) or "does not do what it does" in str(refusal)
        return
    assert plan(report) == plan(softfx.check(target, "straight-through", example_inputs=(x,), capture="eager"))
    assert report.executor == "eager"
    with pytest.raises(CaptureError, match=re.escape(reason)):
        softfx.soften(target, "straight-through", example_inputs=(x,), capture=frontend, executor="graph")


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_custom_function_is_kept_and_its_gradient_survives(frontend: str) -> None:
    for x in (torch.randn(4), torch.randn(4, requires_grad=True)):
        soft = softfx.soften(steps, "straight-through", example_inputs=(x,), capture=frontend)
        leaf = torch.tensor([0.4, 1.2], requires_grad=True)
        assert [site.op for site in soft.report.sites if site.action == "keep"] == ["round"]
        # Step's own gradient is 1; relu's smooth one is positive everywhere.
        assert (torch.autograd.grad(soft(leaf).sum(), leaf)[0] > 0).all()


# -- messages ----------------------------------------------------------------------------------------------------


def test_dynamo_says_where_it_breaks_and_what_to_do() -> None:
    line = line_of(branches, "if x.sum() > 0")
    with pytest.raises(
        CaptureError,
        match=rf"^branches: capture='dynamo' cannot see the whole call: Dynamo breaks the graph at "
        rf"{re.escape(__file__)}:{line}: Data-dependent branching.* Take capture='auto', which follows any Python\.$",
    ):
        softfx.check(branches, example_inputs=(torch.randn(3),), capture="dynamo")


def test_dynamo_does_not_index_by_a_computed_number() -> None:
    """So the contact function is for the others; should this fail, take "contact" into the tests above."""
    target, inputs = CASES["contact"]()
    with pytest.raises(CaptureError, match="Could not extract specialized integer from data-dependent expression"):
        softfx.check(target, example_inputs=inputs, capture="dynamo")
    eager, fx = (plan(softfx.check(target, example_inputs=inputs, capture=capture)) for capture in ("eager", "fx"))
    assert eager == fx


@pytest.mark.parametrize(
    ("target", "text", "said"),
    [
        (branches, "if x.sum() > 0", "bool reads a value that depends on the inputs into Python"),
        (reads_item, "x.sum().item()", "item reads a value that depends on the inputs into Python"),
    ],
)
def test_fx_says_which_line_reads_a_value(target: Any, text: str, said: str) -> None:
    where = re.escape(f"{__file__}:{line_of(target, text)}")
    with pytest.raises(CaptureError, match=rf"symbolic tracing stops at {where}: {said}\. .*capture='auto'"):
        softfx.check(target, example_inputs=(torch.randn(3),), capture="fx")


def test_fx_lets_nothing_compute_out_of_its_sight() -> None:
    def through_numpy(x: Tensor) -> Tensor:
        return torch.from_numpy(np.sign(x.detach().numpy())) * x

    def replaced(x: Tensor) -> Tensor:
        y = x.round()
        y.data = x
        return y

    with pytest.raises(CaptureError, match="numpy reads a value that depends on the inputs into Python"):
        softfx.check(through_numpy, example_inputs=(torch.randn(3),), capture="fx")
    with pytest.raises(CaptureError, match="an attribute of a tensor is replaced"):
        softfx.check(replaced, example_inputs=(torch.randn(3),), capture="fx")


def test_a_graph_that_does_something_else_is_refused() -> None:
    calls: list[int] = []

    def drifting(x: Tensor) -> Tensor:
        calls.append(1)
        return x.round() + len(calls)

    message = "does not do what it does on its example inputs: result 0 has other values"
    with pytest.raises(CaptureError, match=message):
        softfx.check(drifting, example_inputs=(torch.randn(3),), capture="fx")


def test_a_call_that_fails_is_told_apart_from_one_that_cannot_be_traced() -> None:
    def fails(x: Tensor) -> Tensor:
        return x @ torch.ones(7, 7)

    for frontend in FRONTENDS:
        with pytest.raises(
            CaptureError, match=r"fails: it raised RuntimeError on its example inputs: .* Correct the inputs"
        ):
            softfx.check(fails, example_inputs=(torch.ones(3, 3),), capture=frontend)


def test_an_unknown_frontend_is_named_with_the_legal_ones() -> None:
    message = r"^soften: unknown frontend 'jit'\. Legal: auto, eager, dynamo, fx\. Take 'auto'\.$"
    with pytest.raises(TargetError, match=message):
        softfx.soften(torch.round, example_inputs=(torch.ones(2),), capture="jit")


# -- third-party models ------------------------------------------------------------------------------------------


def third_party(name: str) -> Any:
    """A package's module, or the test is skipped: not installed, or built for another torch."""
    try:
        with mock.patch.object(sys, "path", [str(ZOO), *sys.path]):
            importlib.import_module("tv_shim")  # torchvision's operators may not fit this torch
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{name}: {error}")


def vector_quantizer() -> tuple[Any, tuple[Any, ...]]:
    module = third_party("vector_quantize_pytorch")
    return module.VectorQuantize(dim=8, codebook_size=16).eval(), (torch.randn(2, 5, 8, requires_grad=True),)


def switch_router() -> tuple[Any, tuple[Any, ...]]:
    models = third_party("transformers.models.switch_transformers.modeling_switch_transformers")
    config = third_party("transformers.models.switch_transformers.configuration_switch_transformers")
    made = config.SwitchTransformersConfig(d_model=16, d_ff=16, num_experts=4, expert_capacity=3)
    return models.SwitchTransformersTop1Router(made).eval(), (torch.randn(2, 6, 16),)


def rgb_to_hsv() -> tuple[Any, tuple[Any, ...]]:
    color = third_party("kornia.color")
    return color.rgb_to_hsv, (torch.rand(1, 3, 4, 4),)


@pytest.mark.zoo
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("frontend", TRACERS)
@pytest.mark.parametrize("build", [vector_quantizer, switch_router, rgb_to_hsv])
def test_a_third_party_model_has_one_plan_or_is_refused_with_its_line(
    build: Callable[[], tuple[Any, tuple[Any, ...]]], frontend: str
) -> None:
    torch.manual_seed(0)
    target, inputs = build()
    expected = softfx.check(target, "straight-through", example_inputs=inputs)
    assert expected.sites
    try:
        report = softfx.check(target, "straight-through", example_inputs=inputs, capture=frontend)
    except CaptureError as refusal:
        assert build is not rgb_to_hsv
        assert re.search(r"site-packages/\w+/.*\.py:\d+: ", str(refusal)), str(refusal)
        return
    assert plan(report) == plan(expected)


def counts_in_place(x: Tensor) -> Tensor:
    """What depends on x is first a tensor of zeros, written through a view of it."""
    counts = torch.zeros(2, 4)
    counts[1][x.argmax()] += 1
    return counts[counts > 0] * x.sum()


def test_what_is_written_in_place_depends_on_what_is_written() -> None:
    x = torch.tensor([0.3, 1.2, 0.1, 0.0])
    soft = softfx.soften(counts_in_place, "gradients", example_inputs=(x,))
    assert soft.report.executor == "eager" and any("shape" in seen.reason for seen in soft.report.breaks)
    assert torch.equal(soft(-x), counts_in_place(-x))


def test_fx_gives_no_number_to_python_that_was_written_in_place() -> None:
    def reads(x: Tensor) -> Tensor:
        sizes = torch.zeros(2)
        sizes[0] = x.sum()
        return x * sizes.max().item()

    with pytest.raises(CaptureError, match="reads a value that depends on the inputs"):
        softfx.check(reads, example_inputs=(torch.ones(2),), capture="fx")


def test_a_graph_keeps_what_is_written_to_out() -> None:
    def sums(x: Tensor) -> Tensor:
        made = torch.empty(3)
        torch.cumsum(torch.tensor([1.0, 2.0]), 0, out=made.narrow(0, 1, 2))
        made[:1] = 0
        return made.sum() * x.round()

    x = torch.tensor([0.3, 1.2])
    soft = softfx.soften(sums, example_inputs=(x,), executor="graph")
    assert torch.equal(soft(x), sums(x))


@pytest.mark.parametrize("frontend", ["eager", "fx"])
def test_a_graph_writes_numbers_of_numpy_as_pythons_own(frontend: str) -> None:
    def scaled(x: Tensor) -> Tensor:
        return np.float64(0.5) * x.round() + np.float32(2) * x[np.int64(1)]  # type: ignore[no-any-return,operator]

    x = torch.tensor([0.3, 1.2])
    soft = softfx.soften(scaled, example_inputs=(x,), capture=frontend, executor="graph")
    assert torch.equal(soft(x), scaled(x))
