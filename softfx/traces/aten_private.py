"""The private interfaces of torch that traces of calls use, each with its reason; no other file here uses one.

- torch.utils._python_dispatch.TorchDispatchMode: the documented way to see the calls of aten has no public name.
- OpOverload._schema: torch has no question for which arguments a call of aten writes, and no name of an operator.
- torch._C._VariableFunctions: where torch's functions of the same arguments as aten's are, which Python calls at a
  third less than the operators themselves.
- torch.ops.aten._to_copy.default: what a cast is below autograd, for which Python has the quicker Tensor.to.
- torch.autograd.forward_ad._current_level, torch._C._len_torch_dispatch_stack: whether forward-mode derivatives are
  computed, and whether other modes see the calls of aten, for which torch has no questions.
- Tensor._version: torch has no question for whether a tensor has been written.
- the `apply` of torch.autograd.Function's base: outside of torch.func transforms the rest is a search for transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from softfx.ops.calls import Args, Kwargs
from softfx.ops.trees import map_tensors, tensors_in
from softfx.torch_private import OpOverload

__all__ = [
    "Node", "TorchDispatchMode", "forward_mode_is_open", "has_dispatch_modes", "is_same", "made", "versions_of",
    "written_by",
]  # fmt: skip

# What a copy of other dtype is asked for by, in the place of an operator that Python has no quick name for.
_COPY = torch.ops.aten._to_copy.default


class Node(torch.autograd.Function):
    """A Function that is applied outside of torch.func transforms alone."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the Function."""
        return super(torch.autograd.Function, cls).apply(*args)  # type: ignore[misc]  # of a base written in C


def forward_mode_is_open() -> bool:
    """Return True if forward-mode derivatives are being computed around this call."""
    return forward_ad._current_level >= 0


def has_dispatch_modes() -> bool:
    """Return True if a mode sees the calls of aten."""
    return torch._C._len_torch_dispatch_stack() > 0


def versions_of(tensors: Sequence[Tensor]) -> list[int]:
    """How often tensors have been written; none of them is one of inference mode, which does not count."""
    return [x._version for x in tensors]


def written_by(func: OpOverload, args: Args, kwargs: Kwargs) -> list[Tensor]:
    """The tensors that a call of aten writes."""
    found: list[Tensor] = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            found += tensors_in(args[place] if place < len(args) else kwargs.get(argument.name))
    return found


def made(func: OpOverload, args: Args, kwargs: Kwargs) -> tuple[Any, Callable[..., Any], Args]:
    """Make a call of aten; what it gives, and the function by which Python makes it soonest, with its arguments."""
    spoken = _with_constants(args) if func in _OF_NUMBERS and not kwargs else args
    key = func, _kinds(spoken), tuple(kwargs), _kinds(kwargs.values())
    if key in _SPOKEN:
        result = func(*args, **kwargs)
    else:
        tried = _unwritten(func, spoken, kwargs)
        result = func(*args, **kwargs)
        found = (candidate for candidate in _candidates(func, kwargs) if _gives(candidate, *tried, result))
        _SPOKEN[key] = next(found, None)
    speaks = _SPOKEN[key]
    return (result, func, args) if speaks is None else (result, speaks, spoken)


_SPOKEN: dict[object, Callable[..., Any] | None] = {}


def _with_constants(args: Args) -> Args:
    """The operands of elementwise arithmetic, with a tensor without axes in the place of a number.

    Of a number torch makes such a tensor at each call, which takes as long as the call itself. That of the other
    operand's dtype is rounded as the number would be, where torch does not compute in a wider one.
    """
    if len(args) != 2 or type(args[1]) not in (int, float) or args[0].dtype not in (torch.float32, torch.float64):
        return args
    return args[0], torch.tensor(args[1], dtype=args[0].dtype)


_aten = torch.ops.aten
# Below autograd a comparison with a number is an operator of its own, in which torch takes a tensor, too.
_OF_NUMBERS = frozenset(
    (
        *(packet.Tensor for packet in (_aten.add, _aten.sub, _aten.mul, _aten.div)),
        *(packet.Tensor for packet in (_aten.add_, _aten.sub_, _aten.mul_, _aten.div_)),
        *(packet.Scalar for packet in (_aten.eq, _aten.ne, _aten.lt, _aten.le, _aten.gt, _aten.ge)),
        *(packet.Scalar for packet in (_aten.eq_, _aten.ne_, _aten.lt_, _aten.le_, _aten.gt_, _aten.ge_)),
    )
)


def _kinds(values: Iterable[Any]) -> tuple[Any, ...]:
    """What Python's functions choose between their signatures by."""
    return tuple([_kinds(value) if isinstance(value, list | tuple) else type(value) for value in values])


def _unwritten(func: OpOverload, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    """The arguments, with copies in the place of what the call writes."""
    written = {id(tensor): tensor.clone() for tensor in written_by(func, args, kwargs)}
    copied: tuple[Args, Kwargs] = map_tensors(lambda tensor: written.get(id(tensor), tensor), (args, kwargs))
    return copied


def _candidates(func: OpOverload, kwargs: Kwargs) -> Iterator[Callable[..., Any]]:
    if func is _COPY and tuple(kwargs) == ("dtype",):
        yield _copied
    name = func._schema.name.partition("::")[2]
    yield from (getattr(owner, name) for owner in (torch._C._VariableFunctions, Tensor) if hasattr(owner, name))


def _gives(candidate: Callable[..., Any], args: Args, kwargs: Kwargs, result: Any) -> bool:
    try:
        with torch.no_grad():
            return is_same(candidate(*args, **kwargs), result)
    except (TypeError, RuntimeError):  # it takes other arguments
        return False


def _copied(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x in another dtype, as a copy."""
    return x.to(dtype, copy=True)


def is_same(one: Any, other: Any) -> bool:
    """Return True for results that are alike to the bit, laid out alike in memory too."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if (one.shape, one.stride(), one.dtype, one.device) != (other.shape, other.stride(), other.dtype, other.device):
            return False
        return torch.equal(_bits(one), _bits(other))
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return one is None and other is None


def _bits(x: Tensor) -> Tensor:
    """The elements as integers, by which NaN is NaN and 0.0 is not -0.0."""
    x = x.detach()
    return x.contiguous().view(_OF_SIZE[x.element_size()]) if x.dtype.is_floating_point else x


_OF_SIZE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
