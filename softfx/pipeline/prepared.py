"""The code of a rewritten graph for plain calls: past the checks that its soft calls went through as it was written.

A graph is replayed for the signature that it was written for. So what softtorch asks of the arguments of a public
function at each call was answered when the graph was written, on tensors of the same shapes and dtypes. Compilers, and
tensors of other kinds, get the graph as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

from torch import fx

from softtorch.boundary import unguarded

__all__ = ["prepared"]


def prepared(module: fx.GraphModule) -> Callable[..., Any]:
    """The `forward` of a graph module, whose calls of softtorch's public functions are those that they run.

    >>> import torch, softtorch
    >>> graph = fx.Graph()
    >>> x = graph.placeholder("x")
    >>> _ = graph.output(graph.call_function(softtorch.round, (x,), {"softness": 0.1}))
    >>> module = fx.GraphModule({}, graph)
    >>> torch.equal(prepared(module)(torch.ones(2)), module(torch.ones(2)))
    True
    """
    forward: Any = type(module).forward
    names: dict[Any, set[str]] = {}
    for node in module.graph.nodes:
        if node.op == "call_function":
            names.setdefault(node.target, set()).update(node.kwargs)
    known = {
        name: unguarded(value, names.get(value, ())) if isinstance(value, FunctionType) else value
        for name, value in forward.__globals__.items()
    }
    function = FunctionType(forward.__code__, known, forward.__name__, forward.__defaults__, forward.__closure__)
    return MethodType(function, module)
