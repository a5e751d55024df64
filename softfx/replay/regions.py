"""Calls of the interpreter that follow each other, as one function of what they take from outside.

A region is traced as a whole (softfx.traces): what its calls hand on to each other is no node of autograd's graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor

from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.trees import tensors_in
from softfx.replay.records import Made, Step
from softfx.replay.softness import SiteSoftness
from softfx.replay.values import is_lasting
from softfx.torch_private import storage_key
from softtorch.boundary import unguarded

__all__ = ["Region", "regions"]

_OWN = (Tensor, SiteSoftness)


class _Slot(NamedTuple):
    """A place among what a region was given and has made."""

    place: int


class _Call(NamedTuple):
    function: Function
    args: Args
    kwargs: Kwargs


class Spread(NamedTuple):
    """A region beside what it was in the recording.

    values: what it takes.
    outs: the tensors that it gives.
    """

    region: Region
    values: list[Any]
    outs: list[Tensor]


class Region:
    """Calls as one function, of what they take to a tuple of tensors.

    >>> import torch
    >>> x = torch.ones(2)
    >>> made = Made(torch.add, (x, 1), {}, y := x + 1), Made(torch.mul, (y, x), {"out": None}, z := y * x)
    >>> region, values, outs = Region.spread(made, {id(z)})
    >>> outs[0] is z, region(x + 1)
    (True, (tensor([6., 6.]),))
    """

    def __init__(self, calls: Sequence[_Call], places: Sequence[int]) -> None:
        self._calls, self._places = calls, places

    def __call__(self, *values: Any) -> tuple[Tensor, ...]:
        known = [*values]
        for call in self._calls:
            result = call.function(*_filled(call.args, known), **_filled(call.kwargs, known))
            known += tensors_in(result)
        return tuple([known[place] for place in self._places])

    @classmethod
    def spread(cls, calls: Sequence[Made], wanted: set[int]) -> Spread:
        """Recorded calls. wanted: the identities of the tensors that are to be given, of those that they make."""
        made = {id(tensor) for call in calls for tensor in tensors_in(call.result)}
        values: list[Any] = []
        slots: dict[int, _Slot] = {}
        for value in _own([(call.args, call.kwargs) for call in calls]):
            if isinstance(value, SiteSoftness) or (id(value) not in made and id(value) not in slots):
                slots[id(value)] = _Slot(len(values))
                values.append(value)
        count, spread, outs = len(values), list[_Call](), dict[int, Tensor]()
        for call in calls:
            args, kwargs = _slotted(call.args, slots), _slotted(call.kwargs, slots)
            spread.append(_Call(_quick(call.func, call.kwargs), args, kwargs))
            for place, tensor in enumerate(tensors_in(call.result), count):
                if id(tensor) not in slots:
                    slots[id(tensor)] = _Slot(place)
                    if id(tensor) in wanted:
                        outs[place] = tensor
            count += len(tensors_in(call.result))
        return Spread(cls(spread, [*outs]), values, [*outs.values()])


def _slotted(tree: Any, slots: dict[int, _Slot]) -> Any:
    """Arguments with places for what belongs to a run."""
    if isinstance(tree, _OWN):
        return slots[id(tree)]
    if type(tree) is dict:
        return {name: _slotted(item, slots) for name, item in tree.items()}
    return type(tree)([_slotted(item, slots) for item in tree]) if type(tree) in (tuple, list) else tree


def _quick(function: Function, kwargs: Kwargs) -> Function:
    return unguarded(function, kwargs) if isinstance(function, FunctionType) else function


def _own(tree: Any) -> Iterable[Any]:
    """What belongs to a run, in order."""
    if isinstance(tree, _OWN):
        yield tree
    elif type(tree) in (tuple, list, dict):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from _own(item)


def _filled(tree: Any, known: Sequence[Any]) -> Any:
    kind = type(tree)
    if kind is _Slot:
        return known[tree.place]
    if kind is dict:
        return {name: _filled(item, known) for name, item in tree.items()}
    return kind([_filled(item, known) for item in tree]) if kind in (tuple, list) else tree


Group: TypeAlias = list[Made]


def regions(step: Step, written: set[int | None]) -> list[tuple[Group, bool]]:
    """The calls of a step in groups, and whether each is a region: several calls, or one of a function of our own.

    written: the keys of the memory that the program writes: what saves all its operands must not take tensors in it
        that carry a derivative.
    """
    groups: list[tuple[Group, bool]] = []
    memory: set[int | None] = set()
    for made in step.made:
        fits = made.gradients is step.gradients and _is_plain(made)
        if not groups or not groups[-1][1]:
            memory = set()
        own = {storage_key(tensor) for tensor in tensors_in((made.args, made.kwargs))} - memory
        results = {storage_key(tensor) for tensor in tensors_in(made.result)}
        carriers = {storage_key(tensor) for tensor in tensors_in((made.args, made.kwargs)) if tensor.requires_grad}
        fits = fits and own.isdisjoint(results) and carriers.isdisjoint(written)
        if fits and groups and groups[-1][1]:
            groups[-1][0].append(made)
        else:
            groups.append(([made], fits))
        memory |= results
    return [(group, fits and (len(group) > 1 or _is_function(group[0].func))) for group, fits in groups]


def _is_function(function: Function) -> bool:
    return isinstance(function, FunctionType)


def _is_plain(made: Made) -> bool:
    """Return True for a call of tensors and what lasts, to tensors."""
    if made.is_programs or made.is_guard or made.writes or not is_lasting(made.func):
        return False
    result = made.result
    items = result if isinstance(result, tuple | list) else [result]  # torch's and softtorch's named tuples among them
    if not all(isinstance(item, Tensor) for item in items):
        return False
    return _is_spread((made.args, made.kwargs))


def _is_spread(value: Any) -> bool:
    if isinstance(value, _OWN) or is_lasting(value):
        return True
    if type(value) in (tuple, list):
        return all(map(_is_spread, value))
    return type(value) is dict and all(map(_is_spread, value.values()))
