"""Results of calls by shapes alone, remembered: the fiftieth layer of a model need not be worked out again.

Fake tensors go through torch's whole dispatch, operation by operation, and a softtorch call is dozens of them. The same
function on operands of the same shapes, strides and dtypes returns results of the same.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from softfx import torch_private as private
from softfx.ops.calls import Function, Result
from softfx.ops.trees import map_tensors, tensors_in

__all__ = ["ShapeMemory"]


class ShapeMemory:
    """Calls functions on fake tensors, once per combination of shapes. To be used under their FakeTensorMode."""

    def __init__(self) -> None:
        self._known: dict[Hashable, object] = {}

    def of(self, func: Function, args: tuple[object, ...], kwargs: dict[str, object]) -> Result:
        """`func(*args, **kwargs)`, or fake tensors like those it returned for operands like these."""
        key = _frozen((func, args, kwargs, torch.is_grad_enabled()))
        if key is not None and key in self._known:
            return map_tensors(_like, self._known[key])
        result = func(*args, **kwargs)
        if key is not None and not _shares(result, (args, kwargs)):
            self._known[key] = result
        return result


def _like(tensor: Tensor) -> Tensor:
    mode = private.fake_mode_of(tensor)
    if mode is not None:
        return private.fake(mode, tensor)
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device)


def _shares(result: object, operands: object) -> bool:
    """Return True if a call returned one of its operands: an in-place one is made, not remembered."""
    given = {id(tensor) for tensor in tensors_in(operands)}
    return result is None or any(id(tensor) in given for tensor in tensors_in(result))


def _frozen(tree: object) -> Hashable | None:
    """A key for a call, or None where an operand has none."""
    if isinstance(tree, Tensor):
        return (Tensor, tuple(tree.shape), tuple(tree.stride()), tree.dtype, tree.device)
    if isinstance(tree, tuple | list):
        parts = tuple(_frozen(item) for item in tree)
        return None if None in parts else (type(tree).__name__, parts)
    if isinstance(tree, dict):
        return _frozen(tuple(tree.items()))
    if isinstance(tree, slice):
        return _frozen(("slice", tree.start, tree.stop, tree.step))
    try:
        hash(tree)
    except TypeError:
        return None
    return (type(tree), tree)
