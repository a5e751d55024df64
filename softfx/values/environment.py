"""The environment of a run: the facts of each tensor object, by identity and without keeping tensors alive."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

from torch import Tensor

from softfx import torch_private
from softfx.values.facts import FactStore, Pending, ValueFacts, facts_by_flag, is_written_constant, without_tensors

__all__ = ["Environment", "TensorTable"]

_T = TypeVar("_T")


class TensorTable(Generic[_T]):
    """A table from tensor objects to something, by identity; an entry goes when its tensor goes."""

    def __init__(self) -> None:
        self.entries: dict[int, tuple[weakref.ref[Tensor], _T]] = {}
        self._own = weakref.ref(self)

    def get(self, tensor: Tensor) -> _T | None:
        """The entry of a tensor, or None."""
        entry = self.entries.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    def set(self, tensor: Tensor, value: _T) -> None:
        """Remember `value` of a tensor for as long as the tensor lives."""
        key = id(tensor)
        self.entries[key] = (weakref.ref(tensor, partial(_forget, self._own, key)), value)

    def discard(self, tensor: Tensor) -> None:
        """Forget the entry of a tensor, if there is one."""
        if self.entries:
            self.entries.pop(id(tensor), None)


def _forget(table: weakref.ref[TensorTable[Any]], key: int, dead: weakref.ref[Tensor]) -> None:
    """Forget a tensor that is gone. The table is not held: with it, every call would leave a cycle behind."""
    entries = {} if (known := table()) is None else known.entries
    entry = entries.get(key)
    if entry is not None and entry[0] is dead:
        del entries[key]


class Environment(TensorTable[ValueFacts | Pending]):
    """The facts of tensors. Nothing is remembered of a tensor whose requires_grad flag and dtype say everything."""

    def __init__(self, store: FactStore | None = None) -> None:
        super().__init__()
        self._shadowed: dict[int, weakref.ref[Tensor]] = {}
        self._pending: dict[int, weakref.ref[Tensor]] = {}
        self.store = FactStore() if store is None else store

    def facts(self, tensor: Tensor) -> ValueFacts:
        """The facts of a tensor; where nothing is remembered, those that its flag and dtype give."""
        entry = self.entries.get(id(tensor))
        if entry is not None and entry[0]() is tensor and not is_written_constant(entry[1], tensor):
            return entry[1] if isinstance(entry[1], ValueFacts) else self._found(tensor, entry[1])
        facts = facts_by_flag(tensor)
        if facts.depends_on_source or (outside := torch_private.unwrapped(tensor)) is None:
            return facts
        return without_tensors(self.facts(outside))  # inside vmap what was known outside; shadows have another shape

    def _found(self, tensor: Tensor, pending: Pending) -> ValueFacts:
        facts = pending.find()
        if not torch_private.outlives_transform(tensor):  # what a transform computes is gone when it ends
            self.set(tensor, facts)
        return facts

    def number_facts(self, tensor: Tensor) -> ValueFacts:
        """The facts of a tensor, of whose shadow no more is needed than the number that it is worth."""
        pending = self.get(tensor)
        if not isinstance(pending, Pending):
            return self.facts(tensor)
        if (found := pending.number) is None:
            found = pending.find_number()
            if not torch_private.outlives_transform(tensor):
                pending.number = found
        return found

    def find_pending(self, written: Iterable[Tensor]) -> None:
        """Find the facts that are not found yet and depend on what these tensors hold, before they are written."""
        if not self._pending:
            return
        keys = {torch_private.storage_key(tensor) for tensor in written}
        for key, reference in list(self._pending.items()):
            tensor = reference()
            facts = None if tensor is None else self.get(tensor)
            if tensor is None or not isinstance(facts, Pending):
                del self._pending[key]
            elif not facts.storages().isdisjoint(keys):
                self.facts(tensor)

    def set(self, tensor: Tensor, value: ValueFacts | Pending) -> None:
        """Remember the facts of a tensor; one of integers or bools is integral in any case."""
        if isinstance(value, Pending):
            super().set(tensor, value)
            self._pending[id(tensor)] = self.entries[id(tensor)][0]
            return
        if value.soft is not None or value.hard is not None:
            super().set(tensor, value)
            self._shadowed[id(tensor)] = self.entries[id(tensor)][0]
            return
        if not value.integral and not (tensor.is_floating_point() or tensor.is_complex()):
            value = replace(value, integral=True)
        self.share(tensor, self.store.shared(value))

    def shadowed(self) -> Iterator[Tensor]:
        """The tensors beside which tensors are remembered: a shadow, a hard value."""
        for key in list(self._shadowed):
            tensor = self._shadowed[key]()
            if tensor is None or not self.facts(tensor).holds_tensors:
                del self._shadowed[key]
            else:
                yield tensor

    def share(self, tensor: Tensor, facts: ValueFacts) -> None:
        """`set` for a record of the store, which holds no tensors: the entry may outlive its tensor."""
        if facts is facts_by_flag(tensor):
            self.entries.pop(id(tensor), None)
        else:
            self.entries[id(tensor)] = (weakref.ref(tensor), facts)
