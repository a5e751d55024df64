"""Writes into a tensor of integers or bools, as the calls out of place that would give the same.

`c[i] = x > 0.5` makes the mask of the places that it writes, and chooses by it between what is written and what was
there: calls that the rules of softness know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from softfx import ops
from softfx.ops.calls import Args, Function
from softfx.ops.operation import Operation
from softfx.ops.trees import tensors_in

__all__ = ["Written", "calls_that_write"]


@dataclass(frozen=True, eq=False)
class Written:
    """A call that gives a part of what is written. result: what it gave; None for the tensor that is written itself."""

    func: Function
    args: Args
    result: Tensor | None = None


def calls_that_write(
    operation: Operation, before: Tensor, operands: Args, known: Callable[[Tensor], object | None]
) -> Iterator[Written]:
    """The calls that a write stands for, in order; none where the places themselves are decided by more than a mask.

    before: the tensor as it was. operands: of the write, behind the tensor.
    known: what is noted of a tensor; None if nothing.
    """
    if operation is ops.copy_ and len(operands) == 1:
        yield from _choice(None, operands[0], before)
    elif operation in (ops.setitem, ops.index_put) and len(operands) == 2:
        key, value = operands
        keys = [tensor for tensor in tensors_in((key,)) if known(tensor) is not None]
        if not keys:
            yield from _into(key, value, before)
        elif key is keys[0] and key.dtype is torch.bool and (not isinstance(value, Tensor) or value.numel() == 1):
            mask = key.reshape((*key.shape, *[1] * (before.dim() - key.dim())))
            yield Written(Tensor.reshape, (key, mask.shape), mask)
            yield from _choice(mask, value, before)


def _into(key: Any, value: Any, before: Tensor) -> Iterator[Written]:
    """A write at places that are not decided."""
    places = torch.arange(before.numel(), device=before.device).reshape(before.shape)[key]
    if not places.numel():
        return
    mask = torch.zeros(before.numel(), dtype=torch.bool, device=before.device)
    mask[places.reshape(-1)] = True
    mask = mask.reshape(before.shape)
    if isinstance(value, Tensor) and value.numel() != 1:
        if value.dim() > places.dim():  # torch takes further axes in front, of size 1
            plain = value.reshape(value.shape[value.dim() - places.dim() :])
            yield Written(Tensor.reshape, (value, plain.shape), plain)
            value = plain
        spread = value.expand(places.shape)
        flat = spread.reshape(-1)
        order = torch.zeros(before.numel(), dtype=torch.long, device=before.device)
        order[places.reshape(-1)] = torch.arange(flat.numel(), device=before.device)
        order = order.reshape(before.shape)
        yield Written(Tensor.expand, (value, places.shape), spread)
        yield Written(Tensor.reshape, (spread, (-1,)), flat)
        value = flat[order]
        yield Written(Tensor.__getitem__, (flat, order), value)
    yield from _choice(mask, value, before)


def _choice(mask: Tensor | None, value: Any, before: Tensor) -> Iterator[Written]:
    """What is written where a mask holds; everywhere, without one."""
    if not isinstance(value, Tensor):
        value = before.new_tensor(value)
    if value.dtype is not before.dtype:
        cast = value.to(before.dtype)
        yield Written(Tensor.to, (value, before.dtype), cast)
        value = cast
    if value.dim() > before.dim():  # one element
        plain = value.reshape(())
        yield Written(Tensor.reshape, (value, ()), plain)
        value = plain
    if mask is None:
        yield Written(Tensor.expand, (value, before.shape))
    else:
        yield Written(torch.where, (mask, value, before))
