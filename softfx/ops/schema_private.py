"""The arguments that torch reads as numbers of Python, where a tensor without axes may stand: `alpha` of add.

- torch._ops.OpOverload._schema: the types of an operator's arguments; torch has no public question for them.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import Any

import torch

from softfx.torch_private import OpOverloadPacket

__all__ = ["number_places"]

_NUMBERS = frozenset({"number", "float", "Optional[number]", "Optional[float]"})


@lru_cache(maxsize=4096)
def number_places(name: str) -> tuple[frozenset[int], frozenset[str]]:
    """The positions and the names of those arguments, of an operator of torch and its forms by name.

    >>> number_places("leaky_relu")
    (frozenset({1}), frozenset({'negative_slope'}))
    >>> number_places("add")[1]  # the other operand may be a tensor with a derivative
    frozenset({'alpha'})
    """
    packet: Any = getattr(torch.ops.aten, name, None)
    types: defaultdict[int | str, set[str]] = defaultdict(set)
    overloads: list[str] = packet.overloads() if isinstance(packet, OpOverloadPacket) else []  # type: ignore[no-untyped-call]
    for overload in overloads:
        for position, argument in enumerate(getattr(packet, overload)._schema.arguments):
            types[argument.name].add(str(argument.type))
            types[position].add(argument.name if argument.kwarg_only else str(argument.type))
    found = [place for place, kinds in types.items() if kinds <= _NUMBERS]
    return (
        frozenset(place for place in found if isinstance(place, int)),
        frozenset(place for place in found if isinstance(place, str)),
    )
