"""The private interfaces of torch that softfx uses, each with the reason; no other file reaches for one.

Those of torch._dynamo are in softfx/capture/cross_check/dynamo_private.py: importing them takes seconds, and only
capture="dynamo" needs them. Those of torch.utils.checkpoint are in softfx/interpreter/checkpoint_private.py. A test
holds every other file to public names. To use one more, add it here as a name or a function of its own and say what
torch lacks without it.

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
- torch.autograd._unsafe_preserve_version_counter: a write that is none, for a tensor that gets another memory.
- torch.Tensor._version, _base: how often a tensor was written in place, and what a view looks into.
- torch._C._functorch: which transforms run (vmap, grad, jvp), and what a tensor of theirs stands for outside of it.
- torch.multiprocessing.reductions.StorageWeakRef, torch.UntypedStorage._cdata, torch._C._storage_Use_Count: which
  tensors share memory, without keeping it. data_ptr() is 0 for fake tensors, and used again for other memory.
- torch.Tensor._make_wrapper_subclass: a tensor with a shape and without data, as torch's own subclasses make it.
- nn.Module.__dict__["_parameters"] and its like: a module is copied and put back with everything it holds, hooks too.
- nn.Module._call_impl, _wrapped_call_impl: the names of the frames by which a call stack shows that a module is called;
  the first is the call with its hooks and without what Module.compile() made of it.
- nn.Module._forward_hooks, _forward_pre_hooks and torch.nn.modules.module._global_forward_hooks,
  _global_forward_pre_hooks: whether a call runs more than forward; torch has no question for it.
- nn.Module._compiled_call_impl: what Module.compile() leaves; torch._dynamo.OptimizedModule._orig_mod and
  _torchdynamo_orig_callable, _torchdynamo_disable(_msg): what torch.compile was given, what it leaves alone, and why.
- torch._dynamo.eval_frame._set_stance, DynamoStance: for a while nothing is compiled; set_stance takes 70 microseconds.
- torch.distributed._composable_state._insert_module_state, _get_module_state: how a sharded module finds its state.
- torch._C._autograd._get_current_graph_task_keep_graph: whether the backward pass that runs retains its graph.
- torch.overrides._get_current_function_mode_stack, _pop_mode, _push_mode: which function modes are active in this
  thread, and a while without some of them.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch._C import _functorch as functorch
from torch._library.custom_ops import CustomOpDef
from torch._ops import HigherOrderOperator, OpOverload, OpOverloadPacket
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules import module as module_calls
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._pytree import TreeSpec

__all__ = [
    "CALL_FRAME", "TENSOR_TABLES", "WRAPPED_CALL_FRAME", "FakeTensorMode", "HigherOrderOperator", "OpOverload",
    "OpOverloadPacket", "PythonOnly", "StorageReference", "TreeSpec", "base_of", "compiled_function",
    "compiled_module", "disabled_torch_function", "fake", "fake_mode_of", "fake_on", "flatten", "forget_compiled",
    "function_modes", "has_forward_hooks", "has_no_values", "has_storage", "in_differentiation", "in_transform",
    "is_compiled_in_place", "is_gone", "lay_on", "leaves", "library_operator", "may_compile", "module_tables",
    "outlives_transform", "python_call", "retains_graph", "set_grad_enabled", "share_module_state", "shares_storage",
    "storage_key", "storage_reference", "uncompiled", "unflatten", "unwrapped", "version_of",
    "without_function_modes", "wrapper_subclass",
]  # fmt: skip

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T", bound=Tensor)

_mode_stack: Callable[..., Any] = torch.overrides._get_current_function_mode_stack
_pop_mode: Callable[..., Any] = torch.overrides._pop_mode
_push_mode: Callable[..., Any] = torch.overrides._push_mode
set_grad_enabled: Callable[..., Any] = torch._C._set_grad_enabled
has_storage: Callable[..., bool] = torch._C._has_storage
retains_graph: Callable[[], bool] = torch._C._autograd._get_current_graph_task_keep_graph
disabled_torch_function: Any = torch._C._disabled_torch_function_impl

# Names of code objects on the stack of a module's call; the first may be called by the second.
CALL_FRAME = "_call_impl"
WRAPPED_CALL_FRAME = "_wrapped_call_impl"
# The tables of a module (see `module_tables`) that hold its tensors.
TENSOR_TABLES = frozenset({"_parameters", "_buffers"})
_LEFT = "softfx: this softened call runs Python, which no graph holds. Legal is torch.compile without fullgraph = True."


def uncompiled(function: _F) -> _F:
    """`function`, which a compiler leaves to Python: torch.compiler.disable on demand, for it imports the compiler."""
    made: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if not made:
            made.append(torch.compiler.disable(function))  # type: ignore[no-untyped-call]  # untyped in torch
        return made[0](*args, **kwargs)

    vars(call).update(_torchdynamo_disable=True, _torchdynamo_disable_msg=_LEFT)  # what the compiler knows it by
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


StorageReference = StorageWeakRef


def share_module_state(original: nn.Module, copy: nn.Module) -> None:
    """Give a copy of a module that fully_shard was called on the state of the original."""
    states: Any = sys.modules["torch.distributed._composable_state"]
    states._insert_module_state(copy, states._get_module_state(original))


def storage_key(tensor: Tensor) -> int | None:
    """The identity of a tensor's memory, inside transforms, too; None for one without, as a wrapper subclass.

    >>> x = torch.zeros(2)
    >>> storage_key(x) == storage_key(x[1:]), storage_key(x) == storage_key(x.clone())
    (True, False)
    """
    if (outside := unwrapped(tensor)) is not None:
        return storage_key(outside)
    if tensor.layout is not torch.strided or not torch._C._has_storage(tensor):
        return None
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return None


def storage_reference(tensor: Tensor) -> StorageReference:
    """A reference to a tensor's memory that does not keep it; its key stays its own for as long as the reference."""
    if (outside := unwrapped(tensor)) is not None:
        return storage_reference(outside)
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]  # untyped in torch


def is_gone(reference: StorageReference) -> bool:
    """Return True if the memory referred to has been given back."""
    return bool(reference.expired())  # type: ignore[no-untyped-call]  # untyped in torch


def shares_storage(tensor: Tensor) -> bool:
    """Return True if something besides `tensor` holds its memory: a view, a saved tensor.

    >>> x = torch.zeros(2)
    >>> shares_storage(x), shares_storage(x[1:])
    (False, True)
    """
    if (outside := unwrapped(tensor)) is not None:
        return shares_storage(outside)
    memory = tensor.untyped_storage()
    return torch._C._storage_Use_Count(memory._cdata) > 2  # itself, and `memory`


def wrapper_subclass(kind: type[_T], like: Tensor) -> _T:
    """A tensor of the subclass `kind` with the shape, strides, dtype and device of another, and without data."""
    return Tensor._make_wrapper_subclass(kind, like.shape, like.stride(), dtype=like.dtype, device=like.device)


def fake(mode: FakeTensorMode, like: Tensor) -> Tensor:
    """A tensor without memory shaped like another: what torch.empty_strided gives under the mode, ten times sooner."""
    empty = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="meta")
    return cast(Tensor, FakeTensor(mode, empty, like.device))


def fake_on(mode: FakeTensorMode, like: Tensor, memory: torch.UntypedStorage) -> Tensor:
    """The same on given memory of device "meta": fake tensors share it as the tensors do that they stand for."""
    empty = torch.empty(0, dtype=like.dtype, device="meta")
    empty.set_(memory, like.storage_offset(), like.shape, like.stride())
    return cast(Tensor, FakeTensor(mode, empty, like.device))


def lay_on(tensor: Tensor, like: Tensor) -> None:
    """Let a fake tensor lie where another one lies, which counts as no write. To be called under their mode."""
    if storage_key(tensor) is not None and storage_key(like) not in (None, storage_key(tensor)):
        with torch.no_grad(), torch.autograd._unsafe_preserve_version_counter(tensor):  # type: ignore[attr-defined]
            tensor.set_(like.untyped_storage(), like.storage_offset(), like.shape, like.stride())


def fake_mode_of(value: object) -> FakeTensorMode | None:
    """The mode that a fake tensor belongs to, or None for anything else."""
    return value.fake_mode if isinstance(value, FakeTensor) else None


def has_no_values(value: object) -> bool:
    """Return True for a tensor of a shape alone: on the meta device, or fake."""
    return isinstance(value, FakeTensor) or (isinstance(value, Tensor) and value.is_meta)


# -- nested containers -------------------------------------------------------------------------------------------


def flatten(tree: Any) -> tuple[list[Any], TreeSpec]:
    """The leaves of a nested container, and its structure. A torch.Size is a leaf: it is made again as no tuple is."""
    return pytree.tree_flatten(tree, is_leaf=_is_size)


def unflatten(leaves: list[Any], structure: TreeSpec) -> Any:
    """The container of which `flatten` gave the leaves and the structure."""
    return pytree.tree_unflatten(leaves, structure)


def leaves(tree: Any) -> list[Any]:
    """The leaves of a nested container."""
    return pytree.tree_leaves(tree, is_leaf=_is_size)


def _is_size(tree: object) -> bool:
    return type(tree) is torch.Size


# -- modules -----------------------------------------------------------------------------------------------------


def module_tables(module: object) -> dict[str, dict[str, Any]]:
    """The dictionaries in which a module keeps its parameters, buffers, submodules and hooks, by attribute name.

    They are the module's own, not copies.
    """
    return {key: value for key, value in module.__dict__.items() if isinstance(value, dict) and key.startswith("_")}


def has_forward_hooks(module: nn.Module) -> bool:
    """Return True if a call of the module runs hooks beside its forward, before or after it."""
    own = module._forward_hooks or module._forward_pre_hooks
    return bool(own or module_calls._global_forward_hooks or module_calls._global_forward_pre_hooks)


def python_call(module: nn.Module) -> Callable[..., Any]:
    """The call of a module with its hooks as nn.Module makes it, in Python even where Module.compile() was called."""
    return module._call_impl


def compiled_module(module: nn.Module) -> nn.Module | None:
    """The module that torch.compile was given for `module`; None if it is none that torch.compile made."""
    dynamo: Any = sys.modules.get("torch._dynamo")
    if dynamo is None or not isinstance(module, dynamo.OptimizedModule):
        return None
    inner: nn.Module = module._orig_mod
    return inner


def compiled_function(function: object) -> Callable[..., Any] | None:
    """The function that torch.compile was given for `function`; None if it is none that torch.compile made."""
    if getattr(function, "_torchdynamo_disable", False):
        return None
    return cast(Callable[..., Any] | None, getattr(function, "_torchdynamo_orig_callable", None))


def is_compiled_in_place(module: nn.Module) -> bool:
    """Return True if Module.compile() was called, so that a call runs compiled code."""
    return module.__dict__.get("_compiled_call_impl") is not None


def forget_compiled(module: nn.Module) -> None:
    """Let calls of a module run its Python again."""
    module.__dict__.pop("_compiled_call_impl", None)


def may_compile() -> bool:
    """Return True if torch's compiler is loaded."""
    return "torch._dynamo" in sys.modules


class PythonOnly:
    """A context in which what torch.compile has compiled runs as the Python that it was made of.

    The stance is one for all threads: it is back where it was when the last of them leaves. Without torch._dynamo,
    which takes seconds to import, nothing is compiled.
    """

    _lock = threading.Lock()
    _inside = 0
    _before: Any = None

    def __enter__(self) -> None:
        self._frames: Any = sys.modules.get("torch._dynamo.eval_frame")
        if self._frames is not None:
            with PythonOnly._lock:
                if not PythonOnly._inside:
                    PythonOnly._before = self._frames._set_stance(self._frames.DynamoStance("force_eager"))
                PythonOnly._inside += 1

    def __exit__(self, *_: object) -> None:
        if self._frames is not None:
            with PythonOnly._lock:
                PythonOnly._inside -= 1
                if not PythonOnly._inside:
                    self._frames._set_stance(PythonOnly._before)


# -- function modes, transforms ------------------------------------------------------------------------------------


def function_modes() -> list[TorchFunctionMode]:
    """The torch function modes that are active in this thread, the innermost last."""
    return cast(list[TorchFunctionMode], _mode_stack())


@contextmanager
def without_function_modes(kind: type[TorchFunctionMode]) -> Iterator[None]:
    """A block without the active modes of one kind; the others stay, in their order."""
    modes = function_modes()
    others = [mode for mode in modes if not isinstance(mode, kind)]
    _replace_modes(others)
    try:
        yield
    finally:
        _replace_modes(modes)


def _replace_modes(modes: list[TorchFunctionMode]) -> None:
    while _mode_stack():
        _pop_mode()
    for mode in modes:
        _push_mode(mode)


def in_transform() -> bool:
    """Return True while a torch.func transform (vmap, grad, jvp) is running."""
    return functorch.maybe_current_level() is not None


def in_differentiation() -> bool:
    """Return True while a torch.func transform that differentiates (grad, vjp, jvp) is running."""
    kinds, stack = functorch.TransformType, functorch.get_interpreter_stack()
    return in_transform() and any(level.key() in (kinds.Grad, kinds.Jvp) for level in stack or ())


def outlives_transform(tensor: Tensor) -> bool:
    """Return True for a tensor that is there when the innermost transform that is running ends."""
    level = functorch.maybe_current_level()
    return level is not None and functorch.maybe_get_level(tensor) != level


def unwrapped(tensor: Tensor) -> Tensor | None:
    """The tensor that a transform has wrapped, or None for one that none has."""
    return functorch.get_unwrapped(tensor) if functorch.is_functorch_wrapped_tensor(tensor) else None
