"""How torch made a tensor, where it lets itself be asked.

It refuses for a view that was made in a no_grad block and whose base was written since, as `weight[0].zero_()` in such
a block leaves it: the view is no leaf then, and has no history that a derivative could follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

__all__ = ["history_of", "is_leaf", "nodes_behind"]


def history_of(tensor: Tensor) -> Node | None:
    """The autograd node that made a tensor, or None.

    >>> import torch
    >>> x = torch.zeros(2, requires_grad=True)
    >>> with torch.no_grad():
    ...     view = x[1:].add_(1)
    >>> history_of(x * 2) is None, history_of(view) is None
    (False, True)
    """
    try:
        return tensor.grad_fn
    except RuntimeError:  # torch's refusal has no other type
        return None


def nodes_behind(tensors: Iterable[Tensor]) -> Iterator[Any]:
    """The autograd nodes that a backward pass from some tensors goes through, each once, those of leaves among them.

    >>> import torch
    >>> x = torch.zeros(2, requires_grad=True)
    >>> sorted(type(node).__name__ for node in nodes_behind([x * 2 + x]))
    ['AccumulateGrad', 'AddBackward0', 'MulBackward0']
    """
    waiting: list[Any] = [history_of(tensor) for tensor in tensors]
    seen = set[Any]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [following for following, _ in node.next_functions]


def is_leaf(tensor: Tensor) -> bool:
    """Return True for a tensor that no differentiable call has made.

    >>> import torch
    >>> is_leaf(torch.zeros(2))
    True
    """
    try:
        return tensor.is_leaf
    except RuntimeError:  # the same
        return False
