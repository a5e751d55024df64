"""The frame of elementwise operators: options checked, then torch's own function, its relaxation, or both joined."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from softtorch.checks import check_pair, check_softness, resolve_mode
from softtorch.kernels.joined import joined
from softtorch.kernels.numeric.finite import with_finite_gradient
from softtorch.kernels.numeric.precision import computing_dtype, floating, narrowed
from softtorch.kernels.numeric.promotion import as_tensor, promoted
from softtorch.kernels.numeric.tracing import differentiating
from softtorch.kernels.pointwise.fused import Fused, passes_possible, run_hard
from softtorch.modes import HARD, Mode, StraightThrough

Softness = Tensor | float
Soft = Callable[..., Tensor]
"""A relaxation: takes a mode, a softness and the operands."""
FusedSoft = Callable[[Mode, float], Fused | None]
"""The same for one operand and a softness that is a number, as a function of few passes, where there is one."""


def relaxed(
    where: str,
    softness: Softness,
    mode: str | Mode,
    hard: Callable[..., Tensor],
    soft: Soft,
    *xs: Tensor | float,
    fused: FusedSoft | None = None,
    finite: bool = False,
) -> Tensor:
    """`hard(*xs)` in hard mode, else `soft(mode, softness, *xs)` computed in a wide dtype and cast back.

    Args:
        where: the operator's name.
        softness: as given by the user; checked here.
        mode: as given by the user; resolved here. In a StraightThrough mode the value is that of `hard`, the derivative
            that of `soft`.
        hard: torch's own function of the operands.
        soft: its relaxation; takes the mode, the softness and the operands in the dtype computed in.
        *xs: the operands. A single one stays as it is; of several, numbers become tensors of their common dtype.
        fused: `soft` for a single operand and a softness that is a number, as a Fused function, where there is one:
            straight-through forms need its derivative alone.
        finite: `soft` itself lets only finite gradients go on to the operands.
    """
    check_softness(where, softness)
    curve = resolve_mode(where, mode)
    tensors, dtype = _operands(xs)
    if curve is HARD:
        return floating(hard(*tensors))
    if not finite or computing_dtype(dtype) != dtype:  # a narrow dtype may hold less than was finite
        tensors = [with_finite_gradient(x) for x in tensors]
    if not isinstance(curve, StraightThrough):
        return _soft(soft, curve, softness, tensors, dtype)
    curve = curve.soft
    if curve is HARD or not (differentiating() and dtype.is_floating_point):
        return floating(hard(*tensors))
    if fused is not None and curve.by_passes(softness, tensors[0]):
        function = fused(curve, softness)
        if function is not None and passes_possible(tensors[0]):
            return run_hard(hard, function, tensors[0])
    return straight(where, hard(*tensors), _soft(soft, curve, softness, tensors, dtype))


def straight(where: str, hard: Tensor, soft: Tensor) -> Tensor:
    """The value of hard with the derivative of soft, (...) each, checked for belonging together."""
    check_pair(where, hard, soft)
    return joined(hard, soft)


def _operands(xs: tuple[Tensor | float, ...]) -> tuple[Sequence[Tensor], torch.dtype]:
    """The operands as tensors, and the dtype of the result."""
    first = xs[0]
    if isinstance(first, Tensor):
        alike = [x for x in xs if isinstance(x, Tensor) and x.dtype == first.dtype and x.device == first.device]
        if len(alike) == len(xs):
            return alike, first.dtype
    dtype = promoted(*xs)
    device = next(x.device for x in xs if isinstance(x, Tensor))
    return [as_tensor(x, dtype, device) for x in xs], dtype


def _soft(soft: Soft, curve: Mode, softness: Softness, tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """soft(curve, softness, *tensors), computed in a dtype that is wide enough for it, in `dtype`."""
    computed = computing_dtype(dtype)
    s = softness.to(computed) if isinstance(softness, Tensor) else softness
    if computed == dtype:
        return soft(curve, s, *tensors)
    return narrowed(soft(curve, s, *(x.to(computed) for x in tensors)), dtype)
