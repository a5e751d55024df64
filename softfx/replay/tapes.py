"""The recordings of one softened target: which there are, when another is made, and when one is given up.

The first call that is given tensors of some kind is made by the interpreter, the second is recorded, later ones go by
the recording. A call under other decisions begins anew; a softness that a schedule changes is looked up by each run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import is_
from typing import Any

import torch
from torch import Tensor

from softfx import torch_private
from softfx.decisions.evidence import Evidence
from softfx.decisions.site import Decision
from softfx.decisions.sites import Sites
from softfx.interpreter import checkpoint_private
from softfx.ops.autocast import autocast_state
from softfx.ops.calls import Function
from softfx.ops.spelling import INDEX
from softfx.ops.trees import BARE
from softfx.replay.recording import Recorder
from softfx.replay.values import Unmakeable
from softfx.replay.writing import Written, written
from softfx.runtime.elements import has_strides
from softfx.values.histories import is_leaf
from softtorch.scope import in_scope

__all__ = ["Tape", "Tapes"]

_MOST_TAPES = 8  # of one target
_MOST_RECORDINGS = 32  # of one target, given up and made anew
_LEAST_RUNS = 8  # that go by a recording before it may be given up, for they made less than half of its calls


@dataclass(eq=False)
class Tape:
    """What is known of the calls that are given tensors of one kind.

    decisions, extent, rules: of the sites, of the evidence, and of what is known of operations when it was begun.
    calls: how many were seen since.
    steps: the recording, once it is made; of `places` things that its functions hand on to each other.
    replayed, left, made: how many runs went by it, how many of these left it, and how many calls they made by it.
    is_unfit: it cannot be made, or did not pay.
    is_of_softness: it is that of no other softness.
    """

    decisions: list[Decision] = field(default_factory=list)
    extent: tuple[int, ...] = ()
    rules: int = -1
    calls: int = 0
    steps: list[Written] | None = None
    places: int = 0
    replayed: int = 0
    left: int = 0
    made: int = 0
    is_unfit: bool = False
    is_of_softness: bool = False

    def holds(self, sites: Sites, evidence: Evidence) -> bool:
        """Return True if all is as it was when it was begun, but for softness that runs look up."""
        if self.rules != INDEX.changes or len(self.decisions) != len(sites) or self.extent != evidence.extent:
            return False
        if all(map(is_, self.decisions, sites)):
            return True
        if not all(map(Decision.is_like, self.decisions, sites)):
            return False
        if self.is_of_softness and not all(map(Decision.is_as_soft, self.decisions, sites)):
            return False
        self.decisions = [*sites]
        return True

    def begin(self, sites: Sites, evidence: Evidence) -> None:
        """Begin anew."""
        self.decisions, self.extent, self.rules = [*sites], evidence.extent, INDEX.changes
        self.steps, self.calls, self.replayed, self.left, self.made = None, 0, 0, 0, 0
        self.is_of_softness = False

    def write(self, recorder: Recorder, given: Sequence[Tensor], sites: Sites, evidence: Evidence) -> None:
        """Make the recording of a run that is over."""
        self.is_unfit, self.is_of_softness = bool(recorder.unfit), True
        if self.is_unfit or not self.holds(sites, evidence):
            return
        self.is_of_softness = recorder.computes_with_softness
        try:
            lasting = [softness for each in sites if isinstance(softness := each.softness, Tensor)]
            self.steps, self.places = written(recorder.steps, given, lasting)
        except Unmakeable:
            self.is_unfit = True

    def note(self, left_at: int | None) -> None:
        """Note a run that went by the recording, up to the call of this number or to the end."""
        calls = len(self.steps or ())
        self.replayed, self.left = self.replayed + 1, self.left + (left_at is not None)
        self.made += calls if left_at is None else left_at
        if self.replayed >= _LEAST_RUNS and 2 * self.made < self.replayed * calls:
            self.steps, self.is_unfit = None, True


class Tapes:
    """The recordings of one softened target; a copy makes its own."""

    def __init__(self) -> None:
        self._tapes: dict[object, Tape] = {}
        self._recordings = 0

    def __reduce__(self) -> tuple[type[Tapes], tuple[()]]:
        return Tapes, ()

    def clear(self) -> None:
        """Forget all: the target is planned or measured anew."""
        self._tapes.clear()

    def of_call(
        self, sites: Sites, evidence: Evidence, root: object, function: Function, leaves: Sequence[Any]
    ) -> Tape | None:
        """The tape of a call, which has a recording or is to get one by this call; None for any other call.

        leaves: of the call's arguments.
        """
        if not _is_plain():
            return None
        key = _key(root, function, leaves)
        if key is None:
            return None
        tape = self._tapes.get(key)
        if tape is None:
            if len(self._tapes) >= _MOST_TAPES:
                return None
            tape = self._tapes[key] = Tape()
        if not tape.holds(sites, evidence):
            tape.begin(sites, evidence)
        tape.calls += 1
        if tape.is_unfit or tape.calls == 1:
            return None
        if tape.steps is None:
            self._recordings += 1
            return tape if self._recordings <= _MOST_RECORDINGS else None
        return tape


def _is_plain() -> bool:
    """Return True where a run is neither transformed, nor without gradients, nor computed again."""
    plain = torch.is_grad_enabled() and not torch.is_inference_mode_enabled() and not torch_private.in_transform()
    return plain and not in_scope() and checkpoint_private.hooks_of_saved_tensors(True) is None


def _key(root: object, function: Function, leaves: Sequence[Any]) -> object:
    """What tells calls apart before they are made; None for one that is given tensors of other kinds."""
    described: list[object] = []
    first: dict[int, int] = {}
    for place, leaf in enumerate(leaves):
        if not isinstance(leaf, Tensor):
            described.append(type(leaf))
        elif type(leaf) not in BARE or not has_strides(leaf):
            return None
        else:
            flags = (leaf.requires_grad, is_leaf(leaf), first.setdefault(id(leaf), place))
            described.append((type(leaf), leaf.shape, leaf.stride(), leaf.dtype, leaf.device, flags))
    own = getattr(function, "__func__", function)
    code = getattr(own, "__code__", own)
    return id(root), id(code), autocast_state(), torch.get_default_dtype(), tuple(described)
