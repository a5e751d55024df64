"""The replay of a traced graph: it runs once under the recorder and is held against a run of the original.

Dynamo and the fx tracer each write graphs of their own making. A replay on the example inputs turns such a graph into a
`Program` of the one form that the rest of softfx knows, and shows whether it does what the original does: results,
arguments and buffers are compared bit for bit with a baseline run, a recorded run of the original. That run also lends
what a trace does not know (softfx.capture.cross_check.alignment).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, fx, nn

from softfx.capture.cross_check.alignment import CallKey, align, possible_sites, with_obstacles
from softfx.capture.example import ExampleCall
from softfx.capture.outcome import Outcome, difference
from softfx.capture.preserve import Preserved
from softfx.capture.program import Program
from softfx.capture.recorder import Recorder, record
from softfx.errors import CaptureError
from softfx.locations import Location, shown_place
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.torch_private import HigherOrderOperator

__all__ = ["BaselineRun", "ReplayInterpreter", "Traced", "baseline_run", "refusal", "replayed"]

# Guards that tracers write beside the program's own calls: they compute nothing.
_GUARDS = frozenset(
    {"_assert_async", "_assert_scalar", "sym_constrain_range", "sym_constrain_range_for_size", "_check"}
)
# The functions by which tracers ask for shapes that depend on data: plain Python to a program.
_SIZES: dict[str, Function] = {"sym_size": Tensor.size, "sym_numel": Tensor.numel, "sym_stride": Tensor.stride}


class Traced(Protocol):
    """A call as a tracer has written it down."""

    def callable(self, run: Callable[[fx.GraphModule], Function]) -> Function:
        """The call as a function of the target's own arguments; it runs its graph by what `run` makes of that."""


@dataclass(frozen=True, eq=False)
class BaselineRun:
    """A recorded run of the original.

    program: the calls it made.
    outcome: what it left behind.
    sites: the calls among them that may be sites.
    """

    program: Program
    outcome: Outcome
    sites: frozenset[CallKey]

    @property
    def keeps_state(self) -> str:
        """The obstacle that tells how tensors of the call come to outlive it, or "" if none does."""
        ways = ("which may hold tensors", "outlives the call")
        return next((reason for reason in self.program.seen.obstacles if any(way in reason for way in ways)), "")

    @property
    def enters_functions(self) -> bool:
        """True if it calls custom autograd.Functions: a trace goes through their forward, so gradients may differ."""
        locations = (node.meta.get("location") for node in self.program.graph.nodes)
        return any(location is not None and location.function for location in locations)


class _OutcomeRecorder(Recorder):
    """A recorder that keeps the outcome of the call."""

    outcome: Outcome

    def __init__(self, call: ExampleCall, preserved: Preserved) -> None:
        super().__init__(call.target, preserved, call.place)
        # Those that are there now: the call may put others in their place.
        self.buffers = list(call.target.buffers()) if isinstance(call.target, nn.Module) else []

    def finished(self, arguments: list[Any], results: list[Any]) -> None:
        self.outcome = Outcome.of(results, arguments, self.buffers)


class _ReplayRecorder(_OutcomeRecorder):
    """A recorder of a replay: where a call was made is what the tracer wrote at its node."""

    def __init__(self, call: ExampleCall, preserved: Preserved, locate: Callable[[fx.Node], Location]) -> None:
        super().__init__(call, preserved)
        self.node: fx.Node | None = None
        self.locate = locate

    def where(self) -> Location:
        return Location(self.default.file, self.default.line) if self.node is None else self.locate(self.node)


class ReplayInterpreter(fx.Interpreter):
    """Runs a traced graph, telling the recorder which node is running."""

    def __init__(self, module: fx.GraphModule, recorder: _ReplayRecorder) -> None:
        super().__init__(module)
        self.recorder = recorder

    def run_node(self, n: fx.Node) -> Result:
        self.recorder.node = n
        return super().run_node(n)

    def call_function(self, target: Any, args: Args, kwargs: Kwargs) -> Result:
        if _name(target) in _GUARDS:
            return None
        if _name(target) in _SIZES:
            return _SIZES[_name(target)](*args)
        if not isinstance(target, HigherOrderOperator):
            return super().call_function(target, args, kwargs)
        if _name(target) == "autograd_function_apply":
            return self._enter(args[0], args[2:])
        self._obstruct(f"the higher-order operation {_name(target)}, whose branches are not looked into")
        return super().call_function(target, args, kwargs)

    def _enter(self, body: fx.GraphModule, args: Sequence[object]) -> object:
        """The forward of a custom autograd.Function, for its calls; its backward is lost, which is an obstacle."""
        self._obstruct("a custom autograd.Function, whose backward a graph of its forward would lose")
        results, _saved = ReplayInterpreter(body, self.recorder).run(*args)
        return results

    def _obstruct(self, reason: str) -> None:
        location = self.recorder.where()
        self.recorder.obstacles[f"{reason} ({shown_place(location.file, location.line)})"] = None


def baseline_run(call: ExampleCall) -> BaselineRun:
    """Run the original under the recorder and keep what it leaves."""
    recorders: list[_OutcomeRecorder] = []

    def recorder_for(preserved: Preserved) -> Recorder:
        recorders.append(_OutcomeRecorder(call, preserved))
        return recorders[0]

    program = record(call.target, call.function, call.args, call.kwargs, recorder_for)
    sites = possible_sites(program, recorders[0].dynamic)
    return BaselineRun(program, recorders[0].outcome, frozenset(sites))


def replayed(
    call: ExampleCall, baseline: BaselineRun, traced: Traced, locate: Callable[[fx.Node], Location]
) -> tuple[Program, str]:
    """The program of a traced graph, and how what it does differs from the original, or ""."""
    recorders: list[_ReplayRecorder] = []

    def recorder_for(preserved: Preserved) -> Recorder:
        recorders.append(_ReplayRecorder(call, preserved, locate))
        return recorders[0]

    def run(module: fx.GraphModule) -> Function:
        return lambda *values: ReplayInterpreter(module, recorders[0]).run(*values)

    program = record(call.target, traced.callable(run), call.args, call.kwargs, recorder_for)
    different = difference(baseline.outcome, recorders[0].outcome, gradients=not baseline.enters_functions)
    if not different and program.result != baseline.program.result:
        different = "its result is nested differently"
    align(program, baseline.program)
    return with_obstacles(program, baseline.program, baseline.sites), different


def refusal(call: ExampleCall, frontend: str, reason: str) -> CaptureError:
    """The error that says why a frontend cannot see the call, and which one can."""
    return CaptureError(
        f"{call.name}: capture={frontend!r} cannot see the whole call: {reason}. "
        "It takes one graph that holds everything. Take capture='auto', which follows any Python."
    )


def _name(function: object) -> str:
    return str(getattr(function, "__name__", function)).split(".")[0]  # an overload's is sym_size.int
