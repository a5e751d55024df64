"""What a call makes and somebody still holds when it is over: state kept between calls, which no graph follows."""

from __future__ import annotations

import gc
from typing import Any

from torch import fx

from softfx.capture.program import GraphBuilder
from softfx.locations import shown_place

__all__ = ["escapes"]


def escapes(builder: GraphBuilder, dynamic: set[Any]) -> str:
    """The first tensor made during the call that outlives it, as an obstacle; empty if none does.

    dynamic: the nodes that depend on an input, a parameter or a draw. What they made is what counts.
    """

    def held() -> list[fx.Node]:
        return [node for node in builder.alive() if node.op == "call_function" and node in dynamic]

    if not held():
        return ""
    gc.collect()  # slow in a large program: only where something may be no more than a cycle
    node = next(iter(held()), None)
    if node is None:
        return ""
    location = node.meta.get("location")
    where = f" ({shown_place(location.file, location.line)})" if location is not None else ""
    return f"a result of {getattr(node.target, '__name__', node.target)} outlives the call{where}"
