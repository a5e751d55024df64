"""What a captured graph is specialised to, of the arguments that a call is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from softfx import torch_private
from softfx.ops.autocast import autocast_state
from softfx.ops.calls import Args, Kwargs
from softfx.ops.trees import is_flat
from softfx.pipeline.snapshot import exact
from softfx.runtime.elements import has_strides

__all__ = ["flattened", "signature"]


def signature(args: Args, kwargs: Kwargs) -> Args:
    """The facts that a captured graph was specialised to, autocast and gradients among them.

    They are the structure, shapes, strides, dtypes, devices and plain values with their types.
    """
    leaves, structure = flattened(args, kwargs)
    return (structure, autocast_state(), *(_described(leaf) for leaf in leaves))


def flattened(args: Args, kwargs: Kwargs) -> tuple[Sequence[Any], object]:
    """The leaves of a call's arguments, and their structure: how many there are, where each is a leaf itself."""
    if not kwargs and is_flat(args, kwargs):
        return args, len(args)
    return torch_private.flatten((args, kwargs))


def _described(leaf: object) -> object:
    if not isinstance(leaf, Tensor):
        return exact(leaf)
    shape, strides = () if leaf.is_nested else tuple(leaf.shape), leaf.stride() if has_strides(leaf) else ()
    return (shape, strides, leaf.dtype, leaf.device)
