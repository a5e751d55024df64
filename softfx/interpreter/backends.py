"""Backends carry out calls. `Direct` makes them; the one of softfx.pipeline.rewrite writes them as nodes of a graph."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from softfx import torch_private
from softfx.decisions.site import Decision, Softness
from softfx.interpreter import checkpoint_private
from softfx.interpreter.derivatives import Blockage, judged
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.spelling import Spelled
from softfx.runtime.elements import has_strides
from softtorch.straight_through import finite

__all__ = ["Backend", "Direct", "has_whole_elements"]

_hooks_of_saved_tensors = checkpoint_private.hooks_of_saved_tensors


class Backend(Protocol):
    """Carries out the calls of a run."""

    def run(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        """Make a call of the program."""

    def emit(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        """Make a call that softening adds, as one visible step."""

    def repeat(self, func: Function, args: Args, kwargs: Kwargs, like: Any = None) -> Result:
        """Make a call of the program on other operands of the same shapes.

        like: the `template` of its result; that of the program's present call if it is left out.
        """

    def template(self, result: Result) -> Result:
        """The facts of a result that `repeat` needs to make its like later."""

    def softness(self, decision: Decision) -> Softness:
        """The softness of a site, as it is passed to its soft form."""

    def blockage(self, func: Function, spelled: Spelled, args: Args, kwargs: Kwargs) -> Blockage | None:
        """Why no derivative comes back from a call of the program that no rule knows, if that is so."""

    @property
    def knows_writes(self) -> bool:
        """True if the whole program was seen, so that it is known whether it writes in place."""

    def lying(self, result: Result) -> Result:
        """Tensors in the memory that those of the result of the program's present call lie in."""

    def is_whole(self, constant: Tensor) -> bool:
        """Return True if the elements of a constant in a floating type are known, and are whole numbers."""

    def is_finite(self, tensor: Tensor) -> bool:
        """Return True if the elements of a tensor are known, and are finite."""


class Direct:
    """Calls are simply made; softness is read from the decision at each call.

    What softening adds to a block of torch.utils.checkpoint keeps its tensors: when it is made may differ between the
    block's first run and the one in the backward pass, which are compared tensor by tensor.
    """

    def run(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        return func(*args, **kwargs)

    def emit(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        if _hooks_of_saved_tensors(True) is None or not checkpoint_private.in_checkpoint():
            return func(*args, **kwargs)
        with checkpoint_private.tensors_kept():
            return func(*args, **kwargs)

    def repeat(self, func: Function, args: Args, kwargs: Kwargs, like: Any = None) -> Result:
        return self.emit(func, args, kwargs)

    def template(self, result: Result) -> Result:
        return None

    def softness(self, decision: Decision) -> Softness:
        return decision.softness

    def blockage(self, func: Function, spelled: Spelled, args: Args, kwargs: Kwargs) -> Blockage | None:
        return judged(func, spelled, args, kwargs)

    @property
    def knows_writes(self) -> bool:
        return False

    def lying(self, result: Result) -> Result:
        return result

    def is_whole(self, constant: Tensor) -> bool:
        return has_whole_elements(constant)

    def is_finite(self, tensor: Tensor) -> bool:
        return finite(tensor)


def has_whole_elements(tensor: Tensor) -> bool:
    """Return True if a tensor holds finite whole numbers alone; False where its elements cannot be read.

    >>> has_whole_elements(torch.tensor([0.0, 2.0])), has_whole_elements(torch.tensor([0.5]))
    (True, False)
    """
    if (outside := torch_private.unwrapped(tensor)) is not None:  # inside a transform: those of all that are mapped
        return has_whole_elements(outside)
    hidden = torch_private.fake_mode_of(tensor) is not None
    if hidden or tensor.is_meta or not has_strides(tensor) or not tensor.is_floating_point():
        return False
    with torch.no_grad():
        return not tensor.frac().any()  # of infinities and NaN that is NaN, which is not 0
