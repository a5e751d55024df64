"""The parameters and inputs of a call that get no gradient at all, as the original stands.

This is read off the autograd graph of the call's results, without running it backward. A path through an operation
whose derivative is zero everywhere (round, sign, floor) reaches nothing.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from softfx import torch_private as private
from softfx.ops.calls import Args, Function, Kwargs
from softfx.values.histories import history_of

__all__ = ["inputs_of", "sources_of", "unreached_sources"]

AutogradNode: TypeAlias = torch.autograd.graph.Node

_BLOCK = "CheckpointFunctionBackward"
# Beginnings of autograd's own names for operations whose backward is zero.
_ZERO = ("Round", "Sign", "Sgn", "Floor", "Ceil", "Trunc", "Heaviside", "ZerosLike", "OnesLike", "FullLike")


def unreached_sources(results: Iterable[object], sources: Mapping[str, Tensor]) -> list[str]:
    """The names of `sources`, tensors that require grad, that no result depends on differentiably.

    >>> x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    >>> unreached_sources([x.round() + 2 * y], {"x": x, "y": y})
    ['x']
    """
    tensors = [result for result in results if isinstance(result, Tensor)]
    reached = {id(tensor): tensor for tensor in tensors} | _reached_from(map(history_of, tensors))
    return [name for name, tensor in sources.items() if tensor.requires_grad and not _is_reached(tensor, reached)]


def _is_reached(tensor: Tensor, reached: Mapping[int, object]) -> bool:
    return id(tensor) in reached or id(history_of(tensor)) in reached


def _reached_from(roots: Iterable[AutogradNode | None]) -> dict[int, object]:
    """The autograd nodes, and the leaves behind them, that a gradient from `roots` reaches, by identity.

    They are kept, for torch makes the Python object of a node anew once nobody holds it.
    """
    found: dict[int, object] = {}
    pending = [root for root in roots if root is not None]
    while pending:
        node = pending.pop()
        if id(node) in found or node.name().startswith(_ZERO):
            continue
        found[id(node)] = node
        leaf = getattr(node, "variable", None)  # only nodes that accumulate into a leaf have one
        if leaf is not None:
            found[id(leaf)] = leaf
        pending += [following for following, _ in node.next_functions if following is not None]
        for tensor in _behind_block(node):
            found[id(tensor)] = tensor
            pending += [history for history in [history_of(tensor)] if history is not None]
    return found


def _behind_block(node: AutogradNode) -> Iterator[Tensor]:
    """The tensors that a block of torch.utils.checkpoint reads besides its arguments, where its node hides them.

    With use_reentrant=True the block has no graph until it is computed again: what its function holds is looked at.
    """
    if node.name() != _BLOCK:
        return
    pending, seen = [getattr(node, "run_function", None)], dict[int, object]()
    while pending:
        value: Any = pending.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, nn.Module):
            yield from value.parameters()
        elif isinstance(value, functools.partial):
            pending += [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, types.MethodType):
            pending += [value.__self__, value.__func__]
        elif isinstance(value, types.FunctionType):
            pending += _enclosed(value)
        elif isinstance(value, tuple | list):
            pending += value


def _enclosed(function: types.FunctionType) -> list[Any]:
    """What a function holds of the scopes around it."""
    cells = [cell for cell in function.__closure__ or () if cell != types.CellType()]  # an empty one has no contents
    return [cell.cell_contents for cell in cells]


def sources_of(target: object, function: Function, args: Args, kwargs: Kwargs) -> dict[str, Tensor]:
    """Parameters by their dotted names, inputs by the names of the arguments they are, or are part of."""
    inputs = {f"input {name}": tensor for name, tensor in inputs_of(function, args, kwargs).items()}
    return inputs | (dict(target.named_parameters()) if isinstance(target, nn.Module) else {})


def inputs_of(function: Function, args: Args, kwargs: Kwargs) -> dict[str, Tensor]:
    """The tensors among the arguments of a call, by the names of the arguments they are, or are part of.

    >>> inputs_of(lambda x, *rest: x, (torch.ones(2), 3, torch.ones(1)), {})
    {'x': tensor([1., 1.]), 'rest[0]': tensor([1.])}
    """
    try:
        arguments = inspect.signature(function).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):  # a builtin without a signature
        arguments = {f"argument {position}": value for position, value in enumerate(args)} | kwargs
    inputs: dict[str, Tensor] = {}
    for name, value in arguments.items():
        tensors = [leaf for leaf in private.leaves(value) if isinstance(leaf, Tensor)]
        single = isinstance(value, Tensor)
        inputs |= {name if single else f"{name}[{i}]": tensor for i, tensor in enumerate(tensors)}
    return inputs
