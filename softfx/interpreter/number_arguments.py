"""Tensors that stand where torch reads a number of Python: torch.full(size, x.mean()), add(x, y, alpha=x.mean()).

torch takes one without axes there if it requires no gradient. Where softening has given it one, its value is taken, and
the report says that the derivative ends here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softfx.interpreter.state import RunState
from softfx.locations import Location
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.schema_private import number_places
from softfx.ops.spelling import INDEX
from softfx.rules.refusals import is_discrete

__all__ = ["gives_tensors_for_numbers", "places_of", "with_numbers"]

_LOSS = "takes a number of Python there, which has no derivative"


def places_of(func: Function) -> tuple[frozenset[int], frozenset[str]]:
    """The positions and names of the arguments that a function reads as numbers."""
    return number_places(INDEX.of(func).operation.name)


def gives_tensors_for_numbers(places: tuple[frozenset[int], frozenset[str]], args: Args, kwargs: Kwargs) -> bool:
    """Return True if a real tensor is given at one of these places."""
    positions, names = places
    given: list[Any] = [args[position] for position in positions if position < len(args)]
    given += [value for name, value in kwargs.items() if name in names] if kwargs else []
    return any(isinstance(value, Tensor) and not is_discrete(value) for value in given)


def with_numbers(
    state: RunState, func: Function, args: Args, kwargs: Kwargs, locate: Callable[[], Location]
) -> tuple[Args, Kwargs]:
    """The arguments, with those that torch reads as numbers without their derivative."""
    places = places_of(func)
    if not torch.is_grad_enabled() or not gives_tensors_for_numbers(places, args, kwargs):
        return args, kwargs
    positions, names = places

    def number(value: Any) -> Any:
        if not isinstance(value, Tensor) or is_discrete(value):
            return value
        facts = state.environment.facts(value)
        sites = facts.gradient_sites if facts.soft is None else facts.gradient_sites | facts.soft.sites
        if not sites and not value.requires_grad:
            return value
        name = INDEX.of(func).operation.name
        if facts.soft is not None:
            state.evidence.lost([facts.soft], name, locate(), _LOSS)
        state.evidence.ended(sites, name, locate())
        return state.backend.emit(torch.detach, (value,), {})

    own = tuple(number(value) if position in positions else value for position, value in enumerate(args))
    return own, {key: number(value) if key in names else value for key, value in kwargs.items()}
