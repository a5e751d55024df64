"""The private interfaces of torch that softfx uses, each with the reason; no other file reaches for one.

Those of torch._dynamo are in softfx/capture/cross_check/dynamo_private.py: importing them takes seconds, and only
capture="dynamo" needs them. A test holds every other file to public names. To use one more, add it here as a name or
a function of its own and say what torch lacks without it.

- torch.utils._pytree: torch's own flattening of nested containers, which knows the output classes that libraries
  register (transformers' ModelOutput among them), and TreeSpec, its type of a structure. The public
  torch.utils.pytree covers less in torch 2.13.
- torch._subclasses.FakeTensorMode, FakeTensor: shapes and dtypes without memory, what torch.compile plans with.
- torch._ops.HigherOrderOperator: the type of cond, map and autograd_function_apply in a captured graph.
- torch._ops.OpOverload, OpOverloadPacket: the types of torch.ops.aten.x and torch.ops.aten.x.default.
- torch._library.custom_ops.CustomOpDef, its _opoverload: the operator that a function under torch.library.custom_op
  calls; the function does not tell the public name, torch.ops.NAMESPACE.NAME.
- torch._C._disabled_torch_function_impl: for a tensor subclass whose calls a mode sees anyway.
- torch._C._set_grad_enabled: what `with torch.no_grad()` calls; a capture sees this function.
- torch._C._has_storage: whether a tensor has memory of its own to share; wrapper subclasses have none.
- torch._C._functorch.maybe_current_level: whether a torch.func transform is running.
- torch.Tensor._version: how often a tensor was written in place. Autograd reads it; there is no public name.
- torch.Tensor._base: the tensor that a view looks into. Autograd reads it; there is no public name.
- torch.Tensor._make_wrapper_subclass: a tensor with a shape and without data; documented for subclasses only by torch's
  own examples of __torch_dispatch__.
- nn.Module.__dict__["_parameters"] and its like: a module must be copied and put back with everything it holds, hooks
  included, and torch has no public list of that.
- nn.Module._call_impl, _wrapped_call_impl: the names of the frames by which a call stack shows that a module is called.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch._library.custom_ops import CustomOpDef
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._pytree import TreeSpec

__all__ = [
    "CALL_FRAME",
    "TENSOR_TABLES",
    "WRAPPED_CALL_FRAME",
    "FakeTensorMode",
    "HigherOrderOperator",
    "OpOverload",
    "OpOverloadPacket",
    "TreeSpec",
    "base_of",
    "disabled_torch_function",
    "fake",
    "fake_mode_of",
    "flatten",
    "has_storage",
    "in_transform",
    "leaves",
    "library_operator",
    "module_tables",
    "set_grad_enabled",
    "uncompiled",
    "unflatten",
    "version_of",
    "wrapper_subclass",
]

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T", bound=Tensor)

set_grad_enabled: Callable[..., Any] = torch._C._set_grad_enabled
has_storage: Callable[..., bool] = torch._C._has_storage
disabled_torch_function: Any = torch._C._disabled_torch_function_impl

# Names of code objects on the stack of a module's call; the first may be called by the second.
CALL_FRAME = "_call_impl"
WRAPPED_CALL_FRAME = "_wrapped_call_impl"
# The tables of a module (see `module_tables`) that hold its tensors.
TENSOR_TABLES = frozenset({"_parameters", "_buffers"})


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


def library_operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """The operator that a function decorated by torch.library.custom_op calls; any other function as it is."""
    if isinstance(function, CustomOpDef):
        operator: Callable[..., Any] = function._opoverload.overloadpacket
        return operator
    return function


# -- tensors -----------------------------------------------------------------------------------------------------


def version_of(tensor: Tensor) -> int:
    """The number of times a tensor has been written in place; -1 for an inference tensor, which does not count them.

    >>> x = torch.zeros(2)
    >>> x.add_(1).mul_(2) is x, version_of(x)
    (True, 2)
    """
    return -1 if tensor.is_inference() else tensor._version


def base_of(tensor: Tensor) -> Tensor | None:
    """The tensor that `tensor` is a view of, or None if it is no view.

    >>> x = torch.zeros(2)
    >>> base_of(x[0]) is x, base_of(x)
    (True, None)
    """
    return tensor._base


def wrapper_subclass(kind: type[_T], like: Tensor) -> _T:
    """A tensor of the subclass `kind` with the shape, strides, dtype and device of another, and without data."""
    return Tensor._make_wrapper_subclass(kind, like.shape, like.stride(), dtype=like.dtype, device=like.device)


def fake(mode: FakeTensorMode, like: Tensor) -> Tensor:
    """A tensor without memory shaped like another: what torch.empty_strided gives under the mode, ten times sooner."""
    empty = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="meta")
    return cast(Tensor, FakeTensor(mode, empty, like.device))


def fake_mode_of(value: object) -> FakeTensorMode | None:
    """The mode that a fake tensor belongs to, or None for anything else."""
    return value.fake_mode if isinstance(value, FakeTensor) else None


# -- nested containers -------------------------------------------------------------------------------------------


def flatten(tree: Any) -> tuple[list[Any], TreeSpec]:
    """The leaves of a nested container, and its structure."""
    return pytree.tree_flatten(tree)


def unflatten(leaves: list[Any], structure: TreeSpec) -> Any:
    """The container of which `flatten` gave the leaves and the structure."""
    return pytree.tree_unflatten(leaves, structure)


def leaves(tree: Any) -> list[Any]:
    """The leaves of a nested container."""
    return pytree.tree_leaves(tree)


# -- modules and transforms --------------------------------------------------------------------------------------


def module_tables(module: nn.Module) -> dict[str, dict[str, Any]]:
    """The dictionaries in which a module keeps its parameters, buffers, submodules and hooks, by attribute name.

    They are the module's own, not copies.
    """
    return {key: value for key, value in module.__dict__.items() if isinstance(value, dict) and key.startswith("_")}


def in_transform() -> bool:
    """Return True while a torch.func transform (vmap, grad, jvp) is running."""
    return torch._C._functorch.maybe_current_level() is not None
