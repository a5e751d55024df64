"""Small records that a run keeps of how a tensor was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

__all__ = ["Lookup", "Term"]


class Term(NamedTuple):
    """One tensor in a sum."""

    tensor: Tensor
    sign: int = 1
    detached: bool = False


@dataclass(frozen=True, eq=False)
class Lookup:
    """A look-up source[key], and what has been added to its result since.

    writes: how many calls had written in place by then.
    """

    source: Tensor
    writes: int
    key: tuple[object, ...]
    addend: Any = None
