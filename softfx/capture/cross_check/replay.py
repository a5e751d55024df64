"""What the tracing frontends share: a traced graph is carried out once, under the recorder, and held against eager.

Dynamo and the fx tracer each write graphs of their own making. Carrying one out on the example inputs under the
eager frontend's recorder gives a `Program` of the one form the rest of softfx knows, and shows whether the graph does
what the original does: results, arguments and buffers are compared bit for bit with a witnessed run of the original.
That run also lends what a trace does not know: the exact position of each call, and what no graph may hide.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from softfx.capture.preserve import Preserved
from softfx.capture.program import Program
from softfx.capture.recorder import Recorder, record
from softfx.errors import CaptureError
from softfx.locations import Location, Place
from softfx.report.record import Break
from softfx.rules import RULES, SPELLING
from softfx.rules.rule import Rule
from softfx.torch_private import HigherOrderOperator

__all__ = ["Carrier", "Witness", "carried", "function_of", "name_of", "refusal", "witness"]

# Guards that tracers write beside the program's own calls: they compute nothing.
_GUARDS = frozenset(
    {"_assert_async", "_assert_scalar", "sym_constrain_range", "sym_constrain_range_for_size", "_check"}
)
# How tracers ask for shapes that depend on data: plain Python to a program.
_SIZES: dict[str, Callable[..., Any]] = {
    "sym_size": Tensor.size,
    "sym_numel": Tensor.numel,
    "sym_stride": Tensor.stride,
}

Key = tuple[str, str, int, str]


@dataclass
class Witness:
    """A run of the original: its program, and what it left behind."""

    program: Program
    left: _Left
    found: set[Key]  # the calls that may be sites

    @property
    def keeps_state(self) -> str:
        """How tensors of the call come to outlive it, or ""."""
        ways = ("which may hold tensors", "outlives the call")
        return next((reason for reason in self.program.seen.obstacles if any(way in reason for way in ways)), "")


@dataclass
class _Left:
    """What a call leaves: results, arguments, buffers; copies, for a call may go on writing them."""

    results: list[Any]
    arguments: list[Any]
    buffers: list[Any]


class _Watching(Recorder):
    """A recorder that keeps what the call left."""

    def __init__(self, target: Any, preserved: Preserved, place: Place) -> None:
        super().__init__(target, preserved, place)
        self.buffers = list(target.buffers()) if isinstance(target, nn.Module) else []  # those that are there now
        self.left = _Left([], [], [])

    def finished(self, arguments: list[Any], results: list[Any]) -> None:
        self.left = _Left(_copies(results), _copies(arguments), _copies(self.buffers))


class _Carrying(_Watching):
    """A recorder of a traced graph: where a call was made is what the tracer wrote at its node."""

    def __init__(self, target: Any, preserved: Preserved, place: Place, locate: Callable[[fx.Node], Location]) -> None:
        super().__init__(target, preserved, place)
        self.node: fx.Node | None = None
        self.locate = locate

    def where(self) -> Location:
        return Location(self.default.file, self.default.line) if self.node is None else self.locate(self.node)


class Carrier(fx.Interpreter):
    """Runs a traced graph, telling the recorder which node is running."""

    def __init__(self, module: fx.GraphModule, recorder: _Carrying) -> None:
        super().__init__(module)
        self.recorder = recorder

    def run_node(self, n: fx.Node) -> Any:
        self.recorder.node = n
        return super().run_node(n)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _name(target) in _GUARDS:
            return None
        if _name(target) in _SIZES:
            return _SIZES[_name(target)](*args)
        if not isinstance(target, HigherOrderOperator):
            return super().call_function(target, args, kwargs)
        if _name(target) == "autograd_function_apply":
            return self._enter(args[0], args[2:])
        location = self.recorder.where()
        self.recorder.obstacles[
            f"the higher-order operation {_name(target)}, whose branches are not looked into "
            f"({location.file}:{location.line})"
        ] = None
        return super().call_function(target, args, kwargs)

    def _enter(self, body: fx.GraphModule, args: tuple[Any, ...]) -> Any:
        """The forward of a custom autograd.Function, for its calls; its backward is lost, which is an obstacle."""
        location = self.recorder.where()
        self.recorder.obstacles.setdefault(
            f"a custom autograd.Function, whose backward a graph of its forward would lose "
            f"({location.file}:{location.line})"
        )
        results, _saved = Carrier(body, self.recorder).run(*args)
        return results


def witness(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], place: Place) -> Witness:
    """Run the original under the recorder and keep what it leaves."""
    seen: list[_Watching] = []

    def recorder_for(preserved: Preserved) -> Recorder:
        seen.append(_Watching(target, preserved, place))
        return seen[0]

    program = record(target, function_of(target), args, kwargs, recorder_for)
    return Witness(program, seen[0].left, _findable(program, seen[0].dynamic))


def carried(
    target: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    place: Place,
    original: Witness,
    locate: Callable[[fx.Node], Location],
    function_for: Callable[[Callable[[fx.GraphModule], Callable[..., Any]]], Callable[..., Any]],
) -> tuple[Program, str]:
    """The program of a traced graph, and how what it does differs from the original, or "".

    `function_for(run)` gives the traced call as a function of the target's own arguments; it passes its graph
    through `run` to get something that runs it.
    """
    seen: list[_Carrying] = []

    def recorder_for(preserved: Preserved) -> Recorder:
        seen.append(_Carrying(target, preserved, place, locate))
        return seen[0]

    def run(module: fx.GraphModule) -> Callable[..., Any]:
        return lambda *values: Carrier(module, seen[0]).run(*values)

    program = record(target, function_for(run), args, kwargs, recorder_for)
    difference = _difference(original.left, seen[0].left, gradients=not _enters_functions(original.program))
    if not difference and program.result != original.program.result:
        difference = "its result is nested differently"
    _align(program, original.program)
    return _with_obstacles(program, original), difference


def refusal(target: Any, frontend: str, reason: str) -> CaptureError:
    """Why this frontend cannot see the call, with what can."""
    return CaptureError(
        f"{name_of(target)}: capture={frontend!r} cannot see the whole call: {reason}. "
        "It takes one graph that holds everything. Take capture='auto', which follows any Python."
    )


def name_of(target: Any) -> str:
    return str(getattr(target, "__qualname__", None) or type(target).__qualname__)


def function_of(target: Any) -> Callable[..., Any]:
    """What a call of `target` runs."""
    function: Callable[..., Any] = target.forward if isinstance(target, nn.Module) else target
    return function


# -- comparing ---------------------------------------------------------------------------------------------------


def _copies(values: Iterable[Any]) -> list[Any]:
    """Tensors copied, numbers and strings as they are, of anything else its type: it is not kept alive."""
    return [_copy(value) if isinstance(value, Tensor) else value if _plain(value) else type(value) for value in values]


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, int | float | complex | str | bytes)


def _difference(expected: _Left, got: _Left, *, gradients: bool) -> str:
    """The first difference between what two calls left, or ""."""
    for what, before, after in (
        ("result", expected.results, got.results),
        ("argument", expected.arguments, got.arguments),
        ("buffer", expected.buffers, got.buffers),
    ):
        if len(before) != len(after):
            return f"it gives {len(after)} {what}s for {len(before)}"
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            if reason := _differs(old, new, gradients=gradients and what == "result"):
                return f"{what} {number} {reason}"
    return ""


def _differs(expected: Any, got: Any, *, gradients: bool) -> str:
    if not isinstance(expected, Tensor) or not isinstance(got, Tensor):
        return f"is {got!r} for {expected!r}" if repr(expected) != repr(got) else ""  # NaN is NaN here
    if (expected.shape, expected.dtype, expected.layout) != (got.shape, got.dtype, got.layout):
        return f"is {tuple(got.shape)} {got.dtype} for {tuple(expected.shape)} {expected.dtype}"
    if not _same_bits(expected.detach(), got.detach()):
        return "has other values"
    if gradients and expected.requires_grad != got.requires_grad:
        return "carries a gradient" if got.requires_grad else "carries no gradient"
    return ""


def _enters_functions(program: Program) -> bool:
    """Whether custom autograd.Functions are called: a trace goes through their forward, so gradients may differ."""
    locations = (node.meta.get("location") for node in program.graph.nodes)
    return any(location is not None and location.function for location in locations)


def _same_bits(a: Tensor, b: Tensor) -> bool:
    if a.layout is not torch.strided or a.is_quantized:
        return torch.equal(a, b)
    if a.is_complex():
        a, b = torch.view_as_real(a.resolve_conj()), torch.view_as_real(b.resolve_conj())
    if not a.is_floating_point():
        return torch.equal(a, b)
    numbers = torch.equal(a.nan_to_num(), b.nan_to_num()) and torch.equal(a.isnan(), b.isnan())
    return numbers and torch.equal(a.signbit() & ~a.isnan(), b.signbit() & ~b.isnan())


# -- what the original's run lends ---------------------------------------------------------------------------------


def _calls(program: Program) -> list[tuple[Key, fx.Node]]:
    """The calls of operations that have a rule, in order."""
    found = []
    for node in program.graph.nodes:
        location = node.meta.get("location")
        if node.op != "call_function" or location is None:
            continue
        func = getattr(Tensor, node.args[1]).__get__ if node.target is getattr else node.target
        if (spelled := SPELLING.find(func)) is not None:
            found.append(((spelled.op, location.file, location.line, location.module), node))
    return found


def _align(program: Program, original: Program) -> None:
    """Give each call the location it has in the original, found by its operation, line, module and turn.

    A trace knows the line but not the position on it, by which a loop's iterations are one site and two calls on a
    line are two; a call that the original's run does not show is told apart by its turn.
    """
    places: dict[Key, list[Location]] = defaultdict(list)
    for key, node in _calls(original):
        places[key].append(node.meta["location"])
    turns: Counter[Key] = Counter()
    for key, node in _calls(program):
        turn, known = turns[key], places[key]
        turns[key] += 1
        if known and len(set(known)) == 1:
            node.meta["location"] = known[0]
        elif turn < len(known):
            node.meta["location"] = known[turn]
        else:
            node.meta["location"] = node.meta["location"]._replace(position=(turn,))


def _findable(program: Program, dynamic: set[fx.Node]) -> set[Key]:
    """The calls that have a derivative to lose: operations that may be sites, on operands that are not constants."""
    return {key for key, node in _calls(program) if node in dynamic and _decides(RULES[key[0]], node)}


def _decides(rule: Rule, node: fx.Node) -> bool:
    if rule.family == "selection" or rule.barrier is not None:
        return False
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda operand: operand.meta.get("val"))
    return rule.site is None or rule.site(node.target, args, kwargs)  # type: ignore[arg-type]  # a call's is a function


def _with_obstacles(program: Program, original: Witness) -> Program:
    """`program` with what stood in the original's way: it stands in every graph's, seen by its tracer or not."""
    have = {key[:3] for key, _ in _calls(program)}
    lost = sorted({key[:3] for key in original.found} - have)
    missing = [f"the traced graph has no {op} for {file}:{line}" for op, file, line in lost]
    obstacles = dict.fromkeys([*original.program.seen.obstacles, *program.seen.obstacles, *missing])
    breaks: dict[tuple[str, str, int], Break] = {}
    for item in (*original.program.seen.breaks, *program.seen.breaks):
        breaks.setdefault((item.reason, item.file, item.line), item)
    seen = replace(program.seen, obstacles=list(obstacles), breaks=list(breaks.values()))
    return replace(program, seen=seen)


def _name(target: Any) -> str:
    return str(getattr(target, "__name__", target)).split(".")[0]  # an overload's is sym_size.int
