"""The buffers that a call changes: what it leaves in them is read by the next call.

A count of decisions, or an average of them, has no derivative in the original. Softly it has one, and with it each call
would hold the one before it: memory would grow, and a second backward pass go through what the first has freed. So
the derivative of such a buffer ends where the next call begins (softfx.pipeline.softened).
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from softfx.torch_private import base_of, version_of
from softfx.values.histories import is_leaf

__all__ = ["carrying", "changed", "detach", "state_of"]

# Of each buffer, by its dotted name, the tensor and its version.
BufferState = dict[str, tuple[Tensor, int]]


def state_of(target: object) -> BufferState:
    """The buffers of a module as they are; none of anything else."""
    if not isinstance(target, nn.Module):
        return {}
    return {name: (buffer, version_of(buffer)) for name, buffer in target.named_buffers()}


def changed(target: object, before: BufferState) -> frozenset[str]:
    """The buffers of floating-point numbers that are others than before, and have no derivative."""
    return frozenset(
        name
        for name, (buffer, version) in state_of(target).items()
        if not _is_as_before(before.get(name), buffer, version)
        and (buffer.is_floating_point() or buffer.is_complex())
        and not buffer.requires_grad
    )


def carrying(target: object, names: Iterable[str]) -> list[str]:
    """Those of the named buffers that carry a derivative."""
    now = state_of(target)
    return [name for name in sorted(names) if name in now and now[name][0].requires_grad]


def detach(module: object, names: Iterable[str]) -> None:
    """End the derivative that an earlier call has left in these buffers; their values stay, and so do the tensors."""
    assert isinstance(module, nn.Module)  # nothing else has buffers
    for name in names:
        path, _, key = name.rpartition(".")
        owner = module.get_submodule(path)
        buffer = getattr(owner, key, None)
        if not isinstance(buffer, Tensor) or is_leaf(buffer):
            continue
        if base_of(buffer) is not None:  # torch detaches no view in place
            setattr(owner, key, buffer.detach())
        else:
            buffer.detach_()


def _is_as_before(known: tuple[Tensor, int] | None, buffer: Tensor, version: int) -> bool:
    return known is not None and known[0] is buffer and known[1] == version
