"""The Dynamo frontend: one graph of the whole call, traced from its bytecode by torch._dynamo.

Dynamo follows the call with symbolic tensors and refuses, with a reason and a line, what one graph cannot hold; what
it accepts holds for every value of the inputs. The graph is then carried out once and held against the original
(softfx.capture.cross_check.replay). Only this file knows torch._dynamo.

`fullgraph_capture` is what torch.compile and torch.export share. It is private; it is used because the public ways
leave traces or lose what is needed: torch.compile puts its result into the cache of the function's code object, where
it counts against the user's own recompile limit, torch._dynamo.export and torch.export reset every compiled function
of the process, and torch.export traces below torch's functions and loses custom autograd.Functions.
"""

from __future__ import annotations

import re
import traceback
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx
from torch._dynamo import config
from torch._dynamo.convert_frame import CaptureOutput, fullgraph_capture
from torch._dynamo.exc import TorchDynamoException
from torch._dynamo.utils import get_metrics_context

from softfx import torch_private as private
from softfx.capture.cross_check import replay
from softfx.capture.preserve import Preserved
from softfx.capture.program import Program
from softfx.locations import Location, Place, is_user_file, module_paths

__all__ = ["capture"]

_FRAME = re.compile(r'^\s*File "(?P<file>.*)", line (?P<line>-?\d+), in ', re.MULTILINE)
_DATA = re.compile(r"Could not [^(\n]*data-dependent expression [^\n]*?(?= \(|$)", re.MULTILINE)
# Shapes and numbers are those of the example, as everywhere in softfx; what depends on data is captured and then
# found by the recorder, which says so with its line, rather than refused.
_CONFIG = {
    "specialize_int": True,
    "specialize_float": True,
    "assume_static_by_default": True,
    "automatic_dynamic_shapes": False,
    "capture_dynamic_output_shape_ops": True,
    "capture_scalar_outputs": True,
}


def capture(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], place: Place) -> Program:
    """The calls of `target(*args, **kwargs)` in Dynamo's one graph of it."""
    original = replay.witness(target, args, kwargs, place)
    traced = _traced(target, args, kwargs)
    if traced.output.backend_input is None:
        if any(node.op == "call_function" for node in original.program.graph.nodes):
            raise replay.refusal(target, "dynamo", "Dynamo makes no graph of it")
        return _told(original.program)
    locate = _Locator(module_paths(target), place)
    program, difference = replay.carried(target, args, kwargs, place, original, locate, traced.callable)
    if difference:
        reason = f"the graph that Dynamo makes of it does not do what it does on its example inputs: {difference}"
        raise replay.refusal(target, "dynamo", reason)
    return _told(program)


def _told(program: Program) -> Program:
    why = "Dynamo made one graph of the call, which gave the original's results bit for bit"
    return replace(program, seen=replace(program.seen, frontend="dynamo", why=why))


# -- tracing -----------------------------------------------------------------------------------------------------


@dataclass
class _Traced:
    """Dynamo's account of one call, and the globals in which it left what the call needs."""

    output: CaptureOutput
    scope: dict[str, Any]

    def callable(self, run: Callable[[fx.GraphModule], Callable[..., Any]]) -> Callable[..., Any]:
        """The traced call as a function of the target's arguments, which Dynamo's bytecode hands to the graph."""
        assert self.output.backend_input is not None
        graph = run(self.output.backend_input.graph_module)
        return self.output.forward_callable(compiled_fn=graph, extra_globals=self.scope)


def _traced(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Traced:
    """One call, traced on copies of its arguments.

    They require grad where the example's do, as in the witnessed run. Where none does, Dynamo traces through a custom
    autograd.Function as if it had no backward; the witness has seen it and says so.
    """
    leaves, structure = private.flatten((args, kwargs))
    copies = [_copy(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    own_args, own_kwargs = private.unflatten(copies, structure)
    root = _root(replay.function_of(target))
    with (
        Preserved(target),
        warnings.catch_warnings(),
        torch.enable_grad(),
        config.patch(_CONFIG),
        get_metrics_context(),
    ):
        warnings.simplefilter("ignore")  # Dynamo's own, about what it does with the code; the model's were shown
        try:
            return _Traced(fullgraph_capture(root, own_args, own_kwargs), root.__globals__)
        except Exception as error:
            raise replay.refusal(target, "dynamo", _reason(error)) from error


def _copy(leaf: Tensor) -> Tensor:
    copy = leaf.detach().clone()
    return copy.requires_grad_(True).clone() if leaf.requires_grad else copy  # in-place needs a non-leaf


def _root(function: Callable[..., Any]) -> types.FunctionType:
    """A function that calls `function`, with globals of its own: Dynamo writes into those of what it traces."""

    def root(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return types.FunctionType(root.__code__, {"__builtins__": __builtins__}, "root", None, root.__closure__)


# -- where -------------------------------------------------------------------------------------------------------


@dataclass
class _Locator:
    """Where a node was made in the user's code: by its stack trace, and in which module: by its module stack."""

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
    """Dynamo's refusal in one sentence, with the user's line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    if (data := _DATA.search(str(error))) is not None:  # said after advice that is of no use here
        said = data[0].strip()
    explanation = next((line.partition(":")[2].strip() for line in lines if line.startswith("Explanation:")), "")
    what = "Dynamo breaks the graph" if isinstance(error, TorchDynamoException) else "Dynamo fails"
    frame = _user_frame(str(error)) or _stack_frame(error)
    where = f" at {frame[0]}:{frame[1]}" if frame else ""
    return f"{what}{where}: " + ". ".join(part.rstrip(".") for part in (said, explanation) if part)


def _stack_frame(error: Exception) -> tuple[str, int] | None:
    stack: traceback.StackSummary | None = getattr(error, "real_stack", None)
    frames = [(frame.filename, frame.lineno or 0) for frame in stack or ()]
    return next((frame for frame in reversed(frames) if is_user_file(frame[0]) and frame[1] > 0), None)
