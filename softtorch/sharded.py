"""Operators on a DTensor: each process computes on what it has, and the result is a DTensor again.

Elementwise operators work on the shards as they are. Operators along a dim work on shards along other dims; one that is
split along it is first gathered. Those of several tensors along a dim, as gather, do so for the dims in front of it,
where these have the same sizes in all of them. What else there is (pooling, tensors that are broadcast) is gathered
whole. The derivative of what all processes have, as a softness, is summed over them.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from softtorch.errors import OptionError, message

__all__ = ["holds_shards", "on_shards"]

# Modules whose functions without a dim give each element by itself.
_ELEMENTWISE = frozenset(
    f"softtorch.operators.{name}"
    for name in (
        *("activations", "comparison", "elementwise", "gates", "logic", "ramps", "rounding", "safe", "selection"),
        "shrinkage",
    )
) | {"softtorch.straight_through.joining"}
# Operators of x and of tensors whose dims are those of x in that order, and how many more one of them may have at its
# end: a soft index has one.
_ALIGNED = {"gather": 1, "masked_mean": 0, "masked_sum": 0, "scatter": 1, "scatter_add": 1, "take_along_dim": 1}
_DRAWING = ("softtorch.operators.sampling", "softtorch.operators.perturbed")


def holds_shards(values: Sequence[object]) -> bool:
    """Return True if a DTensor is among the arguments of a call, or in a sequence among them."""
    module: Any = sys.modules.get("torch.distributed.tensor")  # nobody has one without
    return module is not None and any(
        isinstance(value, module.DTensor) or (isinstance(value, list | tuple) and holds_shards(value))
        for value in values
    )


def on_shards(name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`function(*args, **kwargs)`, some of whose tensors are DTensors; so are those that it returns.

    Raises:
        OptionError: the DTensors live on several meshes, or the function draws random numbers.
    """
    bound = inspect.signature(function).bind(*args, **kwargs)
    given = [part for value in bound.arguments.values() for part in _parts(value)]
    sharded = [value for value in given if holds_shards([value])]
    mesh = sharded[0].device_mesh
    if any(value.device_mesh != mesh for value in sharded):
        raise OptionError(message(name, "its DTensors live on several device meshes", "Use one mesh"))
    if function.__module__.startswith(_DRAWING):
        remedy = "Draw on a whole tensor, or on x.to_local() with a seed of one's own in each process"
        raise OptionError(message(name, "it draws random numbers, which processes would not share", remedy))
    bound.apply_defaults()
    layout, moved = _layout(function, bound.arguments, sharded)
    for key, value in bound.arguments.items():
        local = [_local(part, mesh, layout, part.ndim > 0) for part in _parts(value)]
        if local:
            bound.arguments[key] = local[0] if isinstance(value, Tensor) else local
    return _global(function(*bound.args, **bound.kwargs), mesh, moved)


def _parts(value: Any) -> list[Any]:
    """The tensors that an argument is: itself, or those of a sequence."""
    if isinstance(value, Tensor):
        return [value]
    return [part for part in value if isinstance(part, Tensor)] if isinstance(value, list | tuple) else []


def _layout(function: Callable[..., Any], given: dict[str, Any], sharded: list[Any]) -> tuple[list[Any], list[Any]]:
    """How operands are laid out for a call on each process's own part, and how its results are."""
    placements: Any = sys.modules["torch.distributed.tensor"]
    first = next(value for value in sharded if value.ndim == max(v.ndim for v in sharded))
    whole = [placements.Replicate()] * len(first.placements)
    large = [value for value in given.values() if isinstance(value, Tensor) and value.ndim > 0]
    if any(_parts(value) for value in given.values() if not isinstance(value, Tensor)):
        return whole, whole
    if "dim" not in given:
        alone = all(value.shape == first.shape for value in large)
        wanted = first.placements if function.__module__ in _ELEMENTWISE and alone else whole
        wanted = [p if isinstance(p, placements.Shard) else placements.Replicate() for p in wanted]
        return wanted, wanted
    dim = given["dim"]
    more = _ALIGNED.get(function.__name__.removesuffix("_st"))
    if len(large) > 1 and isinstance(dim, int) and more is not None:
        return _in_front(large, dim, first, more)
    if len(large) > 1 or first.ndim == 0 or not (isinstance(dim, int) or (dim is None and "k" in given)):
        return whole, whole
    along = (-1 if dim is None else dim) % first.ndim
    falls = not given.get("keepdim", True)
    wanted = [
        p if isinstance(p, placements.Shard) and p.dim != along else placements.Replicate() for p in first.placements
    ]
    return wanted, [
        placements.Shard(p.dim - 1) if falls and isinstance(p, placements.Shard) and p.dim > along else p
        for p in wanted
    ]


def _in_front(large: list[Tensor], dim: int, first: Any, more: int) -> tuple[list[Any], list[Any]]:
    """The layout of operands whose dims are those of x, and of the result: split along dims in front of `dim` alone."""
    placements: Any = sys.modules["torch.distributed.tensor"]
    count = min(value.ndim for value in large)
    along = dim % count
    wanted = [
        p
        if isinstance(p, placements.Shard)
        and p.dim < along
        and all(value.ndim <= count + more and value.shape[p.dim] == first.shape[p.dim] for value in large)
        else placements.Replicate()
        for p in first.placements
    ]
    return wanted, wanted


def _local(value: Any, mesh: Any, layout: list[Any], split: bool) -> Tensor:
    """One operand as each process has it: its part, or all of it, whose derivative is summed over the parts."""
    placements: Any = sys.modules["torch.distributed.tensor"]
    whole = [placements.Replicate()] * len(layout)
    if not holds_shards([value]):
        value = placements.DTensor.from_local(value, mesh, whole, run_check=False)
    parts = [placements.Partial() if isinstance(p, placements.Shard) else p for p in layout]
    laid: Any = value.redistribute(placements=layout if split else whole)
    result: Tensor = laid.to_local(grad_placements=layout if split else parts)
    return result


def _global(result: Any, mesh: Any, layout: list[Any]) -> Any:
    """The DTensors that every process has a part of, in the structure of a result."""
    placements: Any = sys.modules["torch.distributed.tensor"]
    if isinstance(result, torch.Tensor):
        return placements.DTensor.from_local(result, mesh, layout, run_check=False)
    if isinstance(result, tuple):
        parts = [_global(part, mesh, layout) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result
