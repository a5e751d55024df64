"""Which frontend sees a call, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softfx.capture import recorder as eager
from softfx.capture.program import Program
from softfx.errors import CaptureError, TargetError
from softfx.locations import Place

__all__ = ["capture", "refuse"]


def _dynamo(*call: Any) -> Program:
    from softfx.capture.cross_check import dynamo  # imports torch._dynamo: seconds, and only where it is asked for

    return dynamo.capture(*call)


def _fx(*call: Any) -> Program:
    from softfx.capture.cross_check import fx

    return fx.capture(*call)


_FRONTENDS: dict[str, Callable[..., Program]] = {"eager": eager.capture, "dynamo": _dynamo, "fx": _fx}


def capture(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], frontend: str, place: Place) -> Program:
    """The calls of `target(*args, **kwargs)`, seen by `frontend` or by the one that is right.

    "auto" takes the eager frontend: it sees every torch call of any Python with its exact line, in one run, and it
    alone can say whether another input could have gone another way.
    """
    if frontend != "auto" and frontend not in _FRONTENDS:
        legal = ", ".join(("auto", *_FRONTENDS))
        raise TargetError(f"soften: unknown frontend {frontend!r}. Legal: {legal}. Take 'auto'.")
    try:
        program = _FRONTENDS["eager" if frontend == "auto" else frontend](target, args, kwargs, place)
    except CaptureError:
        raise
    except Exception as error:
        name = getattr(target, "__qualname__", type(target).__qualname__)
        text = str(error).strip().splitlines()
        raise CaptureError(
            f"{name}: it raised {type(error).__name__} on its example inputs: {text[0] if text else ''}. "
            "A target must run on the inputs it is captured with. Correct the inputs, or the model."
        ) from error
    return program


def refuse(program: Program) -> None:
    """Say why no single graph holds the call."""
    reasons = "; ".join(program.seen.obstacles)
    raise CaptureError(
        f"soften: executor 'graph' was asked for, but no graph holds the call: {reasons}. "
        "Take executor='auto', which runs the original Python softly."
    )
