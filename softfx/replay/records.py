"""What is recorded of a run: a `Step` for each call of the program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softfx.locations import Location, Stack
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.trees import tensors_in
from softfx.runtime.elements import has_strides
from softfx.torch_private import shares_storage, storage_key, version_of
from softfx.values.histories import is_leaf

__all__ = ["Like", "Made", "Noted", "Outcome", "Step", "is_alone"]


class Like(NamedTuple):
    """The metadata of a tensor that a run did not make itself."""

    kind: type
    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    requires_grad: bool
    is_leaf: bool

    @classmethod
    def of(cls, tensor: Tensor) -> Like | None:
        """That of a tensor; None for one without strides."""
        if not has_strides(tensor):
            return None
        stride, flags = tensor.stride(), (tensor.requires_grad, is_leaf(tensor))
        return cls(type(tensor), tensor.shape, stride, tensor.dtype, tensor.device, *flags)

    def fits(self, tensor: object) -> bool:
        return (
            type(tensor) is self.kind
            and isinstance(tensor, Tensor)
            and tensor.requires_grad is self.requires_grad
            and tensor.dtype is self.dtype
            and has_strides(tensor)
            and tensor.shape == self.shape
            and tensor.stride() == self.stride
            and is_leaf(tensor) is self.is_leaf
            and tensor.device == self.device
        )


class Outcome(NamedTuple):
    """The metadata of a result of the program's own call."""

    shape: torch.Size
    dtype: torch.dtype
    requires_grad: bool

    @classmethod
    def of(cls, tensor: Tensor) -> Outcome:
        return cls(tensor.shape, tensor.dtype, tensor.requires_grad)


def is_alone(tensor: Tensor) -> bool:
    """Return True if a tensor's memory is of no other one, so that a call that writes it changes nothing else.

    >>> x = torch.zeros(2)
    >>> is_alone(x), is_alone(x[1:])
    (True, False)
    """
    return version_of(tensor) >= 0 and storage_key(tensor) is not None and not shares_storage(tensor)


@dataclass(eq=False)
class Made:
    """A call that the interpreter made.

    is_programs: it is the program's own.
    is_guard: it asks about the elements of a tensor, and what follows depends on the answer.
    writes: it has written an operand of the program's call.
    gradients: the grad mode.
    """

    func: Function
    args: Args
    kwargs: Kwargs
    result: Result = None
    is_programs: bool = False
    is_guard: bool = False
    writes: bool = False
    gradients: bool = field(default_factory=torch.is_grad_enabled)


@dataclass(eq=False)
class Noted:
    """What the interpreter remembered of a tensor.

    table: the attribute of the run's state.
    verb: the method of the table.
    """

    table: str
    verb: str
    tensor: Tensor
    value: Any = None


@dataclass(eq=False)
class Step:
    """A call of the program.

    location: where it was made, if the interpreter asked for that; `stack` are the frames that it was told by.
    grad_mode: where gradients were switched off before, and where for a lifted block, once it has switched them.
    turns: how often sites had been met behind it, of those that it has met.
    by_interpreter: more happened than is recorded, so that the interpreter has to make it each time.
    facts: what is remembered of those tensors among its arguments and results of which it is something new.
    remembered: the identities of those tensors among its arguments of which something was remembered before.
    likes, outcomes: the metadata of its arguments before, and of what was made at once, by their identities.
    versions: how often each tensor among its arguments has been written, by their identities.
    own: the identities of those whose memory the run has made, so that what else lies on it is the same in each run.
    alone: the identities of those whose memory is of no other tensor.
    operands: the tensors by which the original's derivative comes to its results, if the program asks for histories.
    has_inner: the program made calls inside it.
    """

    func: Function
    args: Args
    kwargs: Kwargs
    gradients: bool = field(default_factory=torch.is_grad_enabled)
    location: Location | None = None
    stack: Stack | None = None
    made: list[Made] = field(default_factory=list)
    noted: list[Noted] = field(default_factory=list)
    grad_mode: tuple[Location | None, Location | None] | None = None
    turns: dict[int, int] = field(default_factory=dict)
    by_interpreter: bool = False
    result: Result = None
    facts: list[tuple[Tensor, Any]] = field(default_factory=list)
    remembered: set[int] = field(default_factory=set)
    likes: dict[int, Like | None] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    own: set[int] = field(default_factory=set)
    alone: set[int] = field(default_factory=set)
    operands: list[Tensor] | None = None
    has_inner: bool = False

    @property
    def written(self) -> list[Tensor]:
        """The tensors that it writes."""
        return [noted.tensor for noted in self.noted if noted.table == "writes"]

    def has_written(self) -> bool:
        """Return True if its arguments have been written since this was asked last."""
        before, tensors = self.versions, tensors_in((self.args, self.kwargs))
        self.versions = {id(tensor): version_of(tensor) for tensor in tensors}
        return self.versions != before
