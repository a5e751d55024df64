"""Elementwise functions with their derivatives given: what autograd would record step by step becomes one
step.

Backward saves the operands alone and evaluates each derivative in as many passes as its formula has. Where a
graph is recorded a plain function takes over, for there a compiler fuses the passes; in forward mode too.
"""

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import get_proxy_mode

Function = Callable[..., Tensor]
Given = TypeVar("Given", bound=Callable[..., Any])

# Below this many elements passes over memory cost less than the Python that saves some.
SMALL = 16384


def with_slopes(
    value: Function, slopes: Sequence[Function], *operands: Tensor, recorded: Function | None = None
) -> Tensor:
    """value(*operands), differentiated in each operand as slopes say: (...), broadcast -> (...).

    Args:
        value: elementwise in the operands.
        slopes: one for each operand, its partial derivative; elementwise and themselves differentiable.
        *operands: tensors that broadcast against each other, of one dtype.
        recorded: the same function, differentiable by itself, for where plain operators are needed; `value`
        by
            default.
    """
    if plain_operators_needed() or all(operand.numel() < SMALL for operand in operands):
        return (recorded or value)(*operands)
    result: Tensor = _Pointwise.apply(_Given(value, tuple(slopes)), *operands)  # type: ignore[no-untyped-call]
    return result


def described(function: Given) -> Given:
    """The function with a signature that binds arguments by place at once.

    torch asks for the signature of `forward` in every call of a Function, and binds to it, to fill in defaults, which
    ours do not have: half of what a call costs.
    """
    known = inspect.signature(function)
    signature = _ByPlace(list(known.parameters.values()), return_annotation=known.return_annotation)
    function.__signature__ = signature  # type: ignore[attr-defined]  # inspect's own protocol
    return function


class _ByPlace(inspect.Signature):
    """A signature without defaults, whose arguments are all given by place."""

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        return super().bind(*args, **kwargs) if kwargs else _Placed(args)


class _Placed:
    """What inspect.BoundArguments is to torch."""

    __slots__ = ("args", "kwargs")

    def __init__(self, args: tuple[Any, ...]) -> None:
        self.args, self.kwargs = args, {}  # type: ignore[var-annotated]

    def apply_defaults(self) -> None:
        """There are none."""


def plain_operators_needed() -> bool:
    """Whether a computation has to consist of torch's own operators here, rather than of a custom Function.

    A graph that is recorded (compile, export, make_fx) would lose the derivative of a Function, or could not
    fuse it; forward mode loses what is beyond the first derivative.
    """
    return torch.compiler.is_compiling() or _asked.plain or forward_mode_is_open() or get_proxy_mode() is not None


class _Asked(threading.local):
    plain = False


_asked = _Asked()


@contextmanager
def plain_operators() -> Iterator[None]:
    """Within this context, and in this thread, plain operators are needed: Functions do not nest in derivatives."""
    before, _asked.plain = _asked.plain, True
    try:
        yield
    finally:
        _asked.plain = before


def forward_mode_is_open() -> bool:
    """Whether forward-mode derivatives are being computed around here."""
    return forward_ad._current_level >= 0


def aligned(size: int, in_dims: Sequence[int | None], operands: Sequence[Tensor]) -> list[Tensor]:
    """The operands of a vmapped elementwise function with the mapped dim first, ready to broadcast.

    Args:
        size: of the mapped dim.
        in_dims: the mapped dim of each operand, or None.
        operands: shapes (...), with the mapped dim where in_dims says.
    """
    rank = max(x.dim() - (dim is not None) for x, dim in zip(operands, in_dims, strict=True))
    result = []
    for x, dim in zip(operands, in_dims, strict=True):
        rows = x.unsqueeze(0) if dim is None else x.movedim(dim, 0)
        result.append(rows.reshape(rows.shape[:1] + (1,) * (rank + 1 - rows.dim()) + rows.shape[1:]))
    result[0] = result[0].expand(size, *result[0].shape[1:])
    return result


@dataclass(frozen=True)
class _Given:
    """One argument for the two, which torch.func would otherwise take apart."""

    value: Function
    slopes: tuple[Function, ...]


class _Pointwise(torch.autograd.Function):
    @staticmethod
    @described
    def forward(given: _Given, *operands: Tensor) -> Tensor:
        return given.value(*operands)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        given, *operands = inputs
        ctx.slopes = given.slopes
        ctx.save_for_backward(*operands)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        operands = ctx.saved_tensors
        grads: list[Tensor | None] = []
        for operand, slope, needed in zip(operands, ctx.slopes, ctx.needs_input_grad[1:], strict=True):
            grads.append((grad * slope(*operands)).sum_to_size(operand.shape) if needed else None)
        return None, *grads

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], given: _Given, *operands: Tensor) -> tuple[Tensor, int]:
        rows = aligned(info.batch_size, in_dims[1:], operands)
        result: Tensor = _Pointwise.apply(given, *rows)  # type: ignore[no-untyped-call]
        return result, 0
