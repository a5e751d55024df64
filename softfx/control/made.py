"""The tensors that a run has made itself: nobody else has them, and what the run writes into them leaves no trace."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from softfx import torch_private as private
from softfx.control.versions_private import level
from softfx.ops.calls import Args, Function, Result
from softfx.ops.spelling import INDEX
from softfx.ops.trees import tensors_in

__all__ = ["Made", "owner_of"]

# What these give may lie on the memory of an array, or of a buffer, that was there before.
_OF_FOREIGN_MEMORY: frozenset[Function] = frozenset({torch.as_tensor, torch.asarray, torch.frombuffer, torch.from_file})
# What these give lies on an operand's memory and is no view of it.
_ALIASES = frozenset({
    "__get__", "as_subclass", "_make_subclass", "values", "_values", "indices", "_indices",
    "crow_indices", "col_indices", "ccol_indices", "row_indices",
})  # fmt: skip
_COPIED = (bool, int, float, complex, list, tuple)
_SEQUENCES = (list, tuple)
_plain: dict[Function, bool] = {}


def owner_of(tensor: Tensor) -> Tensor:
    """The tensor whose memory this one is a part of, outside of all transforms, in which tensors count no writes.

    >>> x = torch.zeros(2)
    >>> owner_of(x[0]) is x, owner_of(x) is x
    (True, True)
    """
    tensor = _outside(tensor)
    base = private.base_of(tensor)
    return tensor if base is None else base


def _outside(tensor: Tensor) -> Tensor:
    while (outside := private.unwrapped(tensor)) is not None:
        tensor = outside
    return tensor


class Made:
    """The owners of the memory that calls of a run have made; what nothing is known of was there before.

    transformed: tensors of torch.func transforms were met.
    """

    def __init__(self) -> None:
        self._owners: dict[int, weakref.ref[Tensor]] = {}
        self.transformed = False

    def __contains__(self, owner: Tensor) -> bool:
        found = self._owners.get(id(owner))
        return found is not None and found() is owner

    def note(self, func: Function, operands: Args, result: Result) -> None:
        """Note what a call of these operands has returned. It is asked after each call, so it looks at little."""
        plain = _plain.get(func)
        if plain is None:
            plain = _plain[func] = _is_plain(func)
        if (is_transformed := level() is not None) or not plain or type(result) is not Tensor:
            self.transformed = self.transformed or is_transformed
            self._note_all(func, operands, tensors_in(result))
        elif (base := private.base_of(result)) is None:
            for operand in operands:
                if operand is result or (type(operand) in _SEQUENCES and _holds(operand, result)):
                    return
            self._owners[id(result)] = weakref.ref(result)
        elif not (operands and operands[0] is base) and base not in self:
            self._note_all(func, operands, [result])

    def _note_all(self, func: Function, operands: Args, results: Iterable[Tensor]) -> None:
        for tensor in results:
            owner = owner_of(tensor)
            if owner not in self and self._is_made(func, operands, owner):
                self._owners[id(owner)] = weakref.ref(owner)

    def _is_made(self, func: Function, operands: Args, owner: Tensor) -> bool:
        """Return True for memory of this call, or of an operand that was made in the run, too."""
        others = list(_beneath(operands, owner))
        if others:
            return all(other in self for other in others)
        if func in _OF_FOREIGN_MEMORY:
            return bool(operands) and isinstance(operands[0], _COPIED)
        return getattr(func, "__name__", "") != "__get__"  # an attribute, such as a gradient, was there before


def _is_plain(func: Function) -> bool:
    """Return True for a function that gives memory of its own, an operand itself, or a view that says of what."""
    operation = INDEX.of(func).operation
    if func in _OF_FOREIGN_MEMORY or operation.stops_gradient or getattr(func, "__name__", "") in _ALIASES:
        return False
    is_torchs = (getattr(func, "__module__", None) or "torch").partition(".")[0] in ("torch", "_operator")
    return is_torchs and INDEX.is_listed(operation)


def _holds(sequence: Any, tensor: Tensor) -> bool:
    return any(item is tensor for item in tensors_in(sequence))


def _beneath(operands: Args, owner: Tensor) -> Iterator[Tensor]:
    """The owners of operands on whose memory a result lies: views say so, aliases begin at the same address."""
    address = _address(owner)
    for operand in tensors_in(operands):
        seen = _outside(operand)
        other = owner_of(seen)
        places = (_address(seen), _address(other))
        if other is owner or address is None or None in places or (address and address in places):
            yield other


def _address(tensor: Tensor) -> int | None:
    """Where a tensor's elements lie; None for one of which that is not known."""
    try:
        return tensor.data_ptr()
    except RuntimeError:
        return None
