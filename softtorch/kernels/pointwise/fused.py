"""Elementwise functions written as few passes over memory, forward and backward, and how they are run.

Autograd records a formula operator by operator: each is a pass over memory in either direction and keeps a tensor. A
Fused function makes its passes by hand, in place and block by block so that what lies between stays in the cache, and
keeps nothing but its operands. Where plain operators are needed (graphs, forward mode) and for second derivatives its
plain form takes over. The functions themselves are in curves.py and its kin.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from softtorch.kernels.numeric.finite import finite_gradient, with_finite_gradient
from softtorch.kernels.numeric.precision import computing_dtype
from softtorch.kernels.numeric.tracing import plain_operators, plain_operators_needed
from softtorch.kernels.pointwise.slopes import aligned
from softtorch.torch_private import Function, is_wrapped

# Elements of a block for each thread: Python's part in a block is small, and the memory that passes need on the way is
# so little that the allocator keeps it, where larger pieces are given back and asked for again, page by page.
BLOCK = 1 << 18

Outs = tuple[Tensor | None, ...]


@dataclass(slots=True, eq=False)
class Keeping:
    """Passes of which the forward ones leave vectors that spare the backward ones their costly functions."""

    count: int
    """how many vectors"""
    value: Callable[..., None]
    """value(out, kept, *operands): out is filled with the function, and the list `kept` with what backward wants"""
    pull: Callable[..., None]
    """pull(outs, grad, out, kept, *operands), as that of Fused; out and kept may not be written to"""


@dataclass(slots=True, eq=False)
class Fused:
    """An elementwise function of one operand or more, of one dtype that is wide enough to compute in.

    The passes run unrecorded on blocks, dense tensors of one shape. They fill what they are given to fill, and may use
    it on the way; operands and the incoming gradient they leave as they are.
    """

    value: Callable[..., None]
    """value(out, *operands): out is filled with the function"""
    pull: Callable[..., None]
    """pull(outs, grad, *operands): each of outs, one for each operand, is filled with grad times that derivative; None
    where it is not asked for"""
    plain: Callable[..., Tensor]
    """plain(*operands): the same in differentiable operators, right in every derivative, at corners too; broadcasts"""
    keeping: Keeping | None = None
    """what is run in place of value and pull where there is a backward pass to come, if anything"""
    finite: bool = False
    """only finite gradients go on to the operands"""


def run(function: Fused, *operands: Tensor) -> Tensor:
    """The function in its own passes, or plainly where those are of no use: (...), broadcast -> (...)."""
    if not _suits(operands):
        return function.plain(*(map(with_finite_gradient, operands) if function.finite else operands))
    if not torch.is_grad_enabled():
        return _filled(function, operands)
    if function.keeping and _records(operands):
        kept: tuple[Tensor, ...] = _RunKeeping.apply(function, *operands)
        return kept[0]
    result: Tensor = _Run.apply(function, *operands)
    return result


def run_hard(hard: Callable[[Tensor], Tensor], function: Fused, x: Tensor) -> Tensor:
    """hard(x), differentiated as function(x), which is not computed: (...) -> (...), both of x's floating dtype."""
    result: Tensor = _RunHard.apply(hard, function, x)
    return result


def shifted(function: Fused, by: float) -> Fused:
    """function(x + by), for a function of one operand."""

    def value(out: Tensor, x: Tensor) -> None:
        function.value(out, x + by)

    def pull(outs: Outs, grad: Tensor, x: Tensor) -> None:
        function.pull(outs, grad, x + by)

    return Fused(value, pull, lambda x: function.plain(x + by))


def passes_possible(x: Tensor) -> bool:
    """Return True if passes by hand are possible here."""
    return type(x) in (Tensor, Parameter) and x.device.type in ("cpu", "cuda") and not plain_operators_needed()


def _suits(operands: tuple[Tensor, ...]) -> bool:
    """Return True if the passes can be made: dense operands of one shape, but for 0-dim ones.

    Where one block holds all, the first operand has that shape, and torch broadcasts the others to it.
    """
    first = operands[0]
    if not passes_possible(first):
        return False
    if all(x.is_contiguous() and (x.dim() == 0 or x.shape == first.shape) for x in operands):
        return True
    if first.numel() > BLOCK or not first.is_contiguous():
        return False
    return all(_fits(x.shape, first.shape) for x in operands)


def _fits(shape: torch.Size, whole: torch.Size) -> bool:
    """Return True if what has the first shape broadcasts to the second one."""
    sizes = zip(reversed(shape), reversed(whole), strict=False)
    return len(shape) <= len(whole) and all(size in (1, other) for size, other in sizes)


def _records(operands: tuple[Tensor, ...]) -> bool:
    """Return True if a backward pass may come and no function transform would take the kept vectors for results."""
    return any(x.requires_grad for x in operands) and not any(is_wrapped(x) for x in operands)


def _blocks(*tensors: Tensor | None) -> Iterator[tuple[Any, ...]]:
    """The tensors block by block; 0-dim ones whole, None as None. What is no larger than a block stays as it is."""
    first = next(x for x in tensors if x is not None)
    if first.numel() <= BLOCK or first.device.type != "cpu":
        return iter((tensors,))
    size = BLOCK * torch.get_num_threads()
    count = -(-first.numel() // size)
    flat = [
        [x] * count if x is None or x.dim() == 0 else x.reshape(-1).split(size)  # type: ignore[no-untyped-call]
        for x in tensors
    ]
    return zip(*flat, strict=True)


def _filled(function: Fused, operands: tuple[Tensor, ...]) -> Tensor:
    result = torch.empty_like(operands[0])
    for out, *parts in _blocks(result, *operands):
        function.value(out, *parts)
    return result


def _pulled(function: Fused, grad: Tensor, operands: tuple[Tensor, ...], needed: tuple[bool, ...]) -> Outs:
    """grad times each derivative that is needed, differentiable itself where that is asked for."""
    if torch.is_grad_enabled():
        with plain_operators():
            parts = torch.func.vjp(function.plain, *operands)[1](grad)
        return _passed_on(function, [part if want else None for part, want in zip(parts, needed, strict=True)])
    results = [torch.empty_like(operands[0]) if want else None for want in needed]
    count = len(results)
    for blocks in _blocks(grad, *operands, *results):
        function.pull(blocks[1 + count :], blocks[0], *blocks[1 : 1 + count])
    return _passed_on(function, _summed(results, operands))


def _summed(results: list[Tensor | None], operands: tuple[Tensor, ...]) -> Outs:
    """Derivatives summed to the shapes of their operands."""
    pairs = zip(results, operands, strict=True)
    return tuple(
        part if part is None or part.shape == operand.shape else part.sum_to_size(operand.shape)
        for part, operand in pairs
    )


def _passed_on(function: Fused, results: Sequence[Tensor | None]) -> Outs:
    """The derivatives of operands, as they go on to these."""
    return tuple(x if x is None or not function.finite else finite_gradient(x) for x in results)


class _Run(Function):
    @staticmethod
    def forward(function: Fused, *operands: Tensor) -> Tensor:
        return _filled(function, operands)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.function, *operands = inputs
        ctx.save_for_backward(*operands)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_pulled(ctx.function, grad, ctx.saved_tensors, ctx.needs_input_grad[1:])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], function: Fused, *operands: Tensor) -> tuple[Tensor, int]:
        rows = aligned(info.batch_size, in_dims[1:], operands)
        return run(function, *(row.contiguous() for row in rows)), 0


class _RunKeeping(Function):
    """`_Run` by the passes that keep; its results are the value and the kept vectors."""

    @staticmethod
    def forward(function: Fused, *operands: Tensor) -> tuple[Tensor, ...]:
        assert function.keeping is not None  # `run` asks
        count = function.keeping.count
        results = [torch.empty_like(operands[0]) for _ in range(1 + count)]
        for blocks in _blocks(*results, *operands):
            function.keeping.value(blocks[0], blocks[1 : 1 + count], *blocks[1 + count :])
        return tuple(results)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.function, *operands = inputs
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*output, *operands)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        function, saved, needed = ctx.function, ctx.saved_tensors, ctx.needs_input_grad[1:]
        if grad is None:
            return None, *(None for _ in needed)
        count = 1 + function.keeping.count
        operands = saved[count:]
        if torch.is_grad_enabled():
            return None, *_pulled(function, grad, operands, needed)
        results = [torch.empty_like(operands[0]) if want else None for want in needed]
        for blocks in _blocks(grad, *saved, *results):
            kept, rest = blocks[1 : 1 + count], blocks[1 + count :]
            function.keeping.pull(rest[len(operands) :], blocks[0], kept[0], kept[1:], *rest[: len(operands)])
        return None, *_passed_on(function, _summed(results, operands))


class _RunHard(Function):
    @staticmethod
    def forward(hard: Callable[[Tensor], Tensor], function: Fused, x: Tensor) -> Tensor:
        return hard(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, Fused, Tensor], output: Tensor) -> None:
        _, ctx.function, x = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor | None]:
        (x,) = ctx.saved_tensors
        wide = computing_dtype(x.dtype)
        (pulled,) = _pulled(ctx.function, grad.to(wide), (x.to(wide).contiguous(),), (True,))
        return None, None, None if pulled is None else pulled.to(x.dtype)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], hard: Any, function: Fused, x: Tensor) -> tuple[Tensor, int]:
        return run_hard(hard, function, x), in_dims[2]
