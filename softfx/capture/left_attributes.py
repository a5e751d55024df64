"""The attributes that a call changes: what it leaves in them is read by calls after it.

What counts or chooses has no derivative in the original. Softly it has one, which later calls may use: a metric hands
it from batch to batch, a simulator from step to step. A backward pass frees what lies behind it, so that a second one
that came there would raise where the original's goes through. So the derivative of what a call has left ends with the
first backward pass that goes through what this call has made, unless that pass retains the graph. Buffers have a rule
of their own (softfx.capture.left_buffers).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn

from softfx import torch_private as private
from softfx.capture.held import containers_in, content_of, refill
from softfx.capture.reach import reached_by
from softfx.values.histories import history_of

__all__ = ["carrying", "changed", "end", "state_of", "watch"]

_NOTE = "softfx.left_by_a_call"
# What every module keeps in its `__dict__`, its buffers among it.
_TORCHS = frozenset(vars(nn.Module()))

# Of each attribute the identities and versions of the tensors in it.
AttributeState = dict[str, list[tuple[Tensor, int]]]


class _Slot(NamedTuple):
    """A place that keeps a value between calls.

    put: gives it another value; None for a container, which is written itself.
    """

    name: str
    value: Any
    put: Callable[[Any], None] | None


class _Left:
    """The note of one call at what it has left: whether a backward pass has freed what it has made."""

    def __init__(self) -> None:
        self.is_freed = False

    def __call__(self, _: object) -> None:
        """As a hook of autograd nodes."""
        self.is_freed = self.is_freed or not private.retains_graph()


def state_of(target: object) -> AttributeState:
    """The tensors among the attributes as they are."""
    found: AttributeState = {}
    for slot in _slots(target):
        found.setdefault(slot.name, []).extend((t, private.version_of(t)) for t in _tensors(slot.value))
    return {name: tensors for name, tensors in found.items() if tensors}


def changed(target: object, before: AttributeState) -> frozenset[str]:
    """The attributes with other tensors than before of which none has a derivative, and some could have one."""
    return frozenset(
        name
        for name, tensors in state_of(target).items()
        if not _is_as_before(before.get(name, []), tensors)
        and all(history_of(tensor) is None for tensor, _ in tensors)
        and any(tensor.is_floating_point() or tensor.is_complex() for tensor, _ in tensors)
    )


def carrying(target: object, names: Collection[str]) -> list[str]:
    """Those of the named attributes that carry a derivative."""
    return sorted({slot.name for slot in _slots(target) if slot.name in names and _carriers(slot.value)})


def end(target: object, names: Collection[str]) -> None:
    """End the derivatives in these attributes behind which a backward pass has freed the graph; values stay."""
    for slot in _slots(target):
        if slot.name not in names or not any(map(_is_freed, _tensors(slot.value))):
            continue
        for container in containers_in(slot.value):
            _end_in(container)
        if slot.put is not None and isinstance(slot.value, Tensor | tuple):
            slot.put(_ended(slot.value))


def watch(target: object, names: Collection[str], result: object) -> None:
    """Note at what a call has left in these attributes when a backward pass goes through what it has made."""
    if private.in_transform():
        return
    carriers = [tensor for slot in _slots(target) if slot.name in names for tensor in _carriers(slot.value)]
    nodes = {node for tensor in carriers if _NOTE not in (node := _node(tensor)).metadata}
    if not nodes:
        return
    left = _Left()
    for node in nodes:
        node.metadata[_NOTE] = left
    for node in nodes | {node for tensor in _tensors(result) if (node := history_of(tensor)) is not None}:
        node.register_prehook(left)


def _slots(target: object) -> Iterator[_Slot]:
    if isinstance(target, nn.Module):
        for path, module in target.named_modules():
            yield from _attributes(module, f"the attribute {path}." if path else "the attribute ")
    found = reached_by(target)
    for item in found.objects:
        yield from _attributes(item, f"the attribute {type(item).__name__}.")
    for container in found.containers:
        yield _Slot(f"a {type(container).__name__} that it holds", container, None)
    for cell in found.cells:
        name = f"the variable {_variables(found.objects).get(id(cell), '')} of its closure"
        yield _Slot(name, cell.cell_contents, partial(setattr, cell, "cell_contents"))


def _variables(objects: list[Any]) -> dict[int, str]:
    """The names of the variables of closures, by the identities of their cells."""
    functions = [item for item in objects if isinstance(item, types.FunctionType)]
    named = [zip(function.__code__.co_freevars, function.__closure__ or (), strict=True) for function in functions]
    return {id(cell): name for pairs in named for name, cell in pairs}


def _attributes(item: Any, prefix: str) -> Iterator[_Slot]:
    without = _TORCHS if isinstance(item, nn.Module) else ()
    for key, value in list(vars(item).items()):
        if key not in without:
            yield _Slot(f"{prefix}{key}", value, partial(vars(item).__setitem__, key))


def _tensors(value: object) -> list[Tensor]:
    return [leaf for leaf in private.leaves(value) if isinstance(leaf, Tensor)]


def _carriers(value: object) -> list[Tensor]:
    """The tensors in a value that differentiable calls have made."""
    return [tensor for tensor in _tensors(value) if tensor.requires_grad and history_of(tensor) is not None]


def _node(tensor: Tensor) -> Any:
    return history_of(tensor)


def _is_freed(tensor: Tensor) -> bool:
    """Return True for what a call has left behind which a backward pass has freed the graph."""
    if not tensor.requires_grad or (node := _node(tensor)) is None:
        return False
    left: _Left | None = node.metadata.get(_NOTE)
    return left is not None and left.is_freed


def _end_in(container: Any) -> None:
    """End such derivatives in one container."""
    content = content_of(container)
    if isinstance(content, dict):
        refill(container, {key: _ended(value) for key, value in content.items()})
    elif isinstance(content, list):
        refill(container, [_ended(value) for value in content])


def _ended(value: Any) -> Any:
    """A tensor, or a tuple with tensors in it, without such derivatives; anything else as it is."""
    if isinstance(value, Tensor):
        return value.detach() if _is_freed(value) else value
    if isinstance(value, tuple) and any(map(_is_freed, _tensors(value))):
        leaves, structure = private.flatten(value)
        return private.unflatten([_ended(leaf) for leaf in leaves], structure)
    return value


def _is_as_before(known: list[tuple[Tensor, int]], now: list[tuple[Tensor, int]]) -> bool:
    if len(known) != len(now):
        return False
    return all(old is new and before == after for (old, before), (new, after) in zip(known, now, strict=True))
