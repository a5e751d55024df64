"""The frontends by name, of which each turns a call of third-party code into a `Program`.

"eager", the recorder, is the road and what "auto" takes: it sees every torch call of any Python with its exact line, in
one run, and it alone can say whether another input could have gone another way. "dynamo" and "fx" are cross-checks
that a user can ask for; they are imported when they are. A further frontend is a function from an `ExampleCall` to a
`Program` and a line in `_FRONTENDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from softfx import torch_private as private
from softfx.capture import recorder
from softfx.capture.example import ExampleCall
from softfx.capture.preserve import Preserved
from softfx.capture.program import Program
from softfx.errors import CaptureError, TargetError, UnseenError
from softfx.locations import Place
from softfx.ops.calls import Function

__all__ = ["capture", "refuse"]


def _eager(call: ExampleCall) -> Program:
    return recorder.capture(call.target, call.args, call.kwargs, call.place)


def _dynamo(call: ExampleCall) -> Program:
    from softfx.capture.cross_check import dynamo  # imports torch._dynamo, which takes seconds

    return dynamo.capture(call)


def _fx(call: ExampleCall) -> Program:
    from softfx.capture.cross_check import fx

    return fx.capture(call)


_FRONTENDS: dict[str, Callable[[ExampleCall], Program]] = {
    "auto": _eager,
    "eager": _eager,
    "dynamo": _dynamo,
    "fx": _fx,
}


def capture(
    target: Function, args: tuple[object, ...], kwargs: dict[str, object], frontend: str, place: Place
) -> Program:
    """The torch calls of `target(*args, **kwargs)` as a program, seen by the frontend of that name.

    Raises:
        TargetError: there is no such frontend.
        CaptureError: the call fails on these inputs, or the frontend cannot see the whole of it.
        UnseenError: the call runs by itself, but not where softfx looks on.
    """
    if frontend not in _FRONTENDS:
        legal = ", ".join(_FRONTENDS)
        raise TargetError(f"unknown capture {frontend!r}. Legal: {legal}. Take 'auto'.")
    call = ExampleCall(target, args, kwargs, place)
    before = private.may_compile()
    try:
        return _FRONTENDS[frontend](call)
    except CaptureError:
        raise
    except Exception as error:
        if private.may_compile() and not before:  # the call itself loads a compiler, which is then known to be there
            return capture(target, args, kwargs, frontend, place)
        raise _failure(call, error) from error


def _failure(call: ExampleCall, error: Exception) -> CaptureError:
    """The error for a call that raises while it is looked at: it may be the call's own, or softfx is in its way."""
    text = next(iter(str(error).strip().splitlines()), "")
    if not _runs_by_itself(call):
        asking = call.asks_for_gradients()
        step = "A target must run on the inputs it is captured with. Correct the inputs, or the model."
        if asking is not None and _runs_by_itself(asking):  # it registers a hook, or takes a derivative
            step = "It runs where these require a gradient. Give example inputs that do: x.requires_grad_()."
        return CaptureError(f"{call.name}: it raised {type(error).__name__} on its example inputs: {text}. {step}")
    return UnseenError(
        f"{call.name}: it runs on its example inputs, but raised {type(error).__name__} where softfx looks on at its "
        f"torch calls: {text}. This is a limit of softfx, not a fault of the target. Soften a part of it without that "
        "call, or take the policy 'keep', which runs it as it is."
    )


def _runs_by_itself(call: ExampleCall) -> bool:
    """Return True if the call, on copies of its inputs, raises nothing where softfx does not look on."""
    try:
        args, kwargs = call.copied_arguments()
        with Preserved(call.target, own_buffers=False):
            call.function(*args, **kwargs)
    except Exception:
        return False
    return True


def refuse(program: Program) -> NoReturn:
    """Raise the CaptureError that says why no single graph holds the call."""
    reasons = "; ".join(program.seen.obstacles)
    raise CaptureError(
        f"executor 'graph' was asked for, but no graph holds the call: {reasons}. "
        "Take executor='auto', which runs the original Python softly."
    )
