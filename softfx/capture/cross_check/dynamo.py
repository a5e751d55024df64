"""The Dynamo cross-check: one graph of the whole call, traced from its bytecode by torch._dynamo.

Dynamo follows the call with symbolic tensors and refuses, with a reason and a line, what one graph cannot hold; what
it accepts holds for every value of the inputs. The graph is then replayed and held against the original
(softfx.capture.cross_check.replay). What it takes of torch._dynamo, which is private, is in dynamo_private.
"""

from __future__ import annotations

import re
import traceback
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import fx

from softfx.capture.cross_check import dynamo_private, replay
from softfx.capture.example import ExampleCall
from softfx.capture.preserve import Preserved
from softfx.capture.program import Program
from softfx.locations import Location, Place, is_user_file, module_paths

__all__ = ["capture"]

_FRAME = re.compile(r'^\s*File "(?P<file>.*)", line (?P<line>-?\d+), in ', re.MULTILINE)
_DATA = re.compile(r"Could not [^(\n]*data-dependent expression [^\n]*?(?= \(|$)", re.MULTILINE)


def capture(call: ExampleCall) -> Program:
    """The torch calls of `call` in Dynamo's one graph of it."""
    baseline = replay.baseline_run(call)
    traced = _traced(call)
    if not traced.has_graph:
        if any(node.op == "call_function" for node in baseline.program.graph.nodes):
            raise replay.refusal(call, "dynamo", "Dynamo makes no graph of it")
        return _attributed(baseline.program)
    program, difference = replay.replayed(call, baseline, traced, _Locator(module_paths(call.target), call.place))
    if difference:
        reason = f"the graph that Dynamo makes of it does not do what it does on its example inputs: {difference}"
        raise replay.refusal(call, "dynamo", reason)
    return _attributed(program)


def _attributed(program: Program) -> Program:
    why = "Dynamo made one graph of the call, which gave the original's results bit for bit"
    return replace(program, seen=replace(program.seen, frontend="dynamo", why=why))


# -- tracing -----------------------------------------------------------------------------------------------------


def _traced(call: ExampleCall) -> dynamo_private.Traced:
    """The call, traced on copies of its arguments.

    They require grad where the example's do, as in the baseline run. Where none does, Dynamo traces through a custom
    autograd.Function as if it had no backward; the baseline run has seen it, which is an obstacle.
    """
    args, kwargs = call.copied_arguments()
    root = _root(call.function)
    with Preserved(call.target), warnings.catch_warnings(), torch.enable_grad(), dynamo_private.tracing():
        warnings.simplefilter("ignore")  # Dynamo's own, about what it does with the code; the model's were shown
        try:
            return dynamo_private.trace(root, args, kwargs)
        except Exception as error:
            raise replay.refusal(call, "dynamo", _reason(error)) from error


def _root(function: Callable[..., object]) -> types.FunctionType:
    """A function that calls `function`, with globals of its own: Dynamo writes into those of what it traces."""

    def root(*args: object, **kwargs: object) -> object:
        return function(*args, **kwargs)

    return types.FunctionType(root.__code__, {"__builtins__": __builtins__}, "root", None, root.__closure__)


# -- where -------------------------------------------------------------------------------------------------------


@dataclass
class _Locator:
    """Finds where a node was made in the user's code, by its stack trace, and in which module, by its module stack."""

    paths: dict[int, str]
    place: Place

    def __call__(self, node: fx.Node) -> Location:
        frame = _user_frame(node.meta.get("stack_trace") or "") or (self.place.file, self.place.line)
        return Location(*frame, module=self._module(node))

    def _module(self, node: fx.Node) -> str:
        for key in reversed(node.meta.get("nn_module_stack") or {}):
            number = str(key).split("@")[0]  # a module called again gets "@1"
            if number.isdigit() and int(number) in self.paths:
                return self.paths[int(number)]
        return ""


def _user_frame(stack_trace: str) -> tuple[str, int] | None:
    """The innermost user frame whose line is known; a decorated function's own frame may say -1."""
    frames = [(match["file"], int(match["line"])) for match in _FRAME.finditer(stack_trace)]
    return next((frame for frame in reversed(frames) if is_user_file(frame[0]) and frame[1] > 0), None)


# -- why not -----------------------------------------------------------------------------------------------------


def _reason(error: Exception) -> str:
    """Dynamo's refusal or failure in one sentence, with the user's line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    if (data := _DATA.search(str(error))) is not None:  # said after advice that is of no use here
        said = data[0].strip()
    explanation = next((line.partition(":")[2].strip() for line in lines if line.startswith("Explanation:")), "")
    event = "Dynamo breaks the graph" if isinstance(error, dynamo_private.Refusal) else "Dynamo fails"
    frame = _user_frame(str(error)) or _stack_frame(error)
    where = f" at {frame[0]}:{frame[1]}" if frame else ""
    return f"{event}{where}: " + ". ".join(part.rstrip(".") for part in (said, explanation) if part)


def _stack_frame(error: Exception) -> tuple[str, int] | None:
    stack: traceback.StackSummary | None = getattr(error, "real_stack", None)
    frames = [(frame.filename, frame.lineno or 0) for frame in stack or ()]
    return next((frame for frame in reversed(frames) if is_user_file(frame[0]) and frame[1] > 0), None)
