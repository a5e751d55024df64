"""What of a target is softened: the Python beneath what compilers and `soften` itself made of it.

A module is captured and run as a shallow copy (softfx.pipeline.soft_module), which becomes the softened module, so that
nothing of the original is written but what is shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from softfx.capture.example import entry_of, name_of
from softfx.pipeline.soft_function import SoftFunction, hard_function
from softfx.pipeline.soft_module import hard_copy, hard_part, made_soft
from softfx.pipeline.softened import Softened

__all__ = ["Subject", "subject_of"]


@dataclass(frozen=True, eq=False)
class Subject:
    """What is softened of one target.

    original: the target; of something softened, what that was made from.
    runs: a shallow copy of the module, or the function, that is captured and run.
    entry: the name of its method that a call runs.
    notes: what the report has to say of it.
    """

    original: Any
    runs: Any
    entry: str
    notes: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The name of what is softened."""
        return name_of(self.runs)

    def keeping(self, written: Sequence[object]) -> Subject:
        """The same where calls write these containers: they are state, of which the copy has its own."""
        if not written or not isinstance(self.runs, nn.Module):
            return self
        return replace(self, runs=hard_copy(self.runs, frozenset(map(id, written))))

    def softened(self, state: Softened) -> Any:
        """The softened module or function that runs as `state` says."""
        return made_soft(self.runs, state) if isinstance(self.runs, nn.Module) else SoftFunction(self.original, state)


def subject_of(target: Any) -> Subject:
    """What is softened of a target."""
    found, note = hard_part(target) if isinstance(target, nn.Module) else hard_function(target)
    state = getattr(found, "_softfx", None) if isinstance(found, nn.Module) else getattr(target, "_softfx", None)
    original = state.original if isinstance(state, Softened) else target
    runs = hard_copy(found) if isinstance(found, nn.Module) else found
    return Subject(original, runs, entry_of(runs), (note,) if note else ())
