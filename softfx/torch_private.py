"""Every private torch interface softfx uses, with the reason; nothing else in the package reaches for one.

- torch.utils._pytree: torch's own flattening of nested containers, which knows the output classes that libraries
  register (transformers' ModelOutput among them). The public torch.utils.pytree covers less in torch 2.13.
- torch._subclasses.FakeTensorMode, FakeTensor: shapes and dtypes without memory, what torch.compile plans with.
- torch._ops.HigherOrderOperator: the type of cond, map and autograd_function_apply in a captured graph.
- torch._ops.OpOverload, OpOverloadPacket: the types of torch.ops.aten.x and torch.ops.aten.x.default.
- torch._C._disabled_torch_function_impl: for a tensor subclass whose calls a mode sees anyway.
- torch._C._set_grad_enabled: what `with torch.no_grad()` calls; a capture sees this function.
- torch._C._has_storage: whether a tensor has memory of its own to share; wrapper subclasses have none.
- torch._C._functorch.maybe_current_level: whether a torch.func transform is running.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree

__all__ = [
    "FakeTensorMode",
    "HigherOrderOperator",
    "OpOverload",
    "OpOverloadPacket",
    "disabled_torch_function",
    "fake",
    "flatten",
    "has_storage",
    "in_transform",
    "leaves",
    "set_grad_enabled",
    "uncompiled",
    "unflatten",
]

_F = TypeVar("_F", bound=Callable[..., Any])

set_grad_enabled: Callable[..., Any] = torch._C._set_grad_enabled
has_storage: Callable[..., bool] = torch._C._has_storage
disabled_torch_function: Any = torch._C._disabled_torch_function_impl


def uncompiled(function: _F) -> _F:
    """`function`, which a compiler leaves to Python: torch.compiler.disable, which imports the compiler, on demand.

    Where that is not imported nothing is being compiled, and importing softfx takes seconds less.
    """

    made: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if not made:
            made.append(torch.compiler.disable(function))  # type: ignore[no-untyped-call]  # untyped in torch
        return made[0](*args, **kwargs)

    return cast(_F, call)


def fake(mode: FakeTensorMode, like: Any) -> Any:
    """A tensor without memory shaped like another: what torch.empty_strided gives under the mode, ten times sooner."""
    empty = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="meta")
    return FakeTensor(mode, empty, like.device)


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """The leaves of a nested container, and its structure."""
    return pytree.tree_flatten(tree)


def unflatten(leaves: list[Any], structure: Any) -> Any:
    """The container again."""
    return pytree.tree_unflatten(leaves, structure)


def leaves(tree: Any) -> list[Any]:
    """The leaves of a nested container."""
    return pytree.tree_leaves(tree)


def in_transform() -> bool:
    """Whether a torch.func transform (vmap, grad, jvp) is running."""
    return torch._C._functorch.maybe_current_level() is not None
