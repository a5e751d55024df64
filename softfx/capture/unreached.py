"""Which parameters and inputs of a call get no gradient at all, as the original stands.

Read off the autograd graph of its results, without running it backward. A path through an operation whose derivative
is zero everywhere (round, sign, floor) feeds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

__all__ = ["unfed"]

# autograd's names of operations whose backward is zero
_ZERO = ("Round", "Sign", "Sgn", "Floor", "Ceil", "Trunc", "Heaviside", "ZerosLike", "OnesLike", "FullLike")


def unfed(results: Iterable[Any], sources: Mapping[str, Tensor]) -> list[str]:
    """The names of `sources`, tensors that require grad, that no result depends on differentiably."""
    fed = _reached([result.grad_fn for result in results if isinstance(result, Tensor)])
    fed |= {id(result) for result in results if isinstance(result, Tensor)}
    return [name for name, tensor in sources.items() if tensor.requires_grad and not _is_fed(tensor, fed)]


def _is_fed(tensor: Tensor, fed: set[int]) -> bool:
    return id(tensor) in fed or (tensor.grad_fn is not None and id(tensor.grad_fn) in fed)


def _reached(functions: Sequence[Any]) -> set[int]:
    """Identities of the autograd nodes, and of the leaves behind them, that a gradient from `functions` reaches."""
    found: set[int] = set()
    pending = [function for function in functions if function is not None]
    while pending:
        function = pending.pop()
        if id(function) in found or function.name().startswith(_ZERO):
            continue
        found.add(id(function))
        leaf = getattr(function, "variable", None)
        if leaf is not None:
            found.add(id(leaf))
        pending += [following for following, _ in function.next_functions if following is not None]
    return found
