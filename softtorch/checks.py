"""The checks that operators share: each resolves one option to an object, or raises with what would be legal.

Nothing here computes on a tensor or reads its contents. An operator calls these once, at its public boundary. To add an
option: one `resolve_` or `check_` function that takes the operator's name first.
"""

import math
import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from softtorch.errors import DimensionError, MethodError, OptionError, ShapeError, message, nearest, of_type
from softtorch.methods import HARD, METHODS, Method
from softtorch.methods.ot import OT_KWARGS
from softtorch.modes import MODES, PUBLISHED, Mode


def resolve_mode(where: str, mode: str | Mode) -> Mode:
    """The mode object for a name, or the object itself.

    >>> resolve_mode("argmax", "c1")
    <mode c1>
    """
    if isinstance(mode, Mode):
        return mode
    if mode in MODES:
        return MODES[mode]
    if mode not in PUBLISHED:
        names = [*MODES, *(name for name in PUBLISHED if not name.startswith("_"))]
        raise OptionError(message(where, f"unknown mode {mode!r}", f"Modes: {', '.join(names)}", nearest(mode, names)))
    return PUBLISHED[mode]


LEAST_SOFTNESS = torch.finfo(torch.float32).tiny
"""One that is smaller is 0, or has few digits, in the dtype that most is computed in."""


def check_softness(where: str, softness: Tensor | float) -> None:
    """A softness is a positive finite number, or a floating tensor, whose contents are not looked at."""
    if type(softness) is float and LEAST_SOFTNESS <= softness < math.inf:
        return
    if isinstance(softness, Tensor):
        if not softness.dtype.is_floating_point:
            wrong = f"softness is a tensor of dtype {softness.dtype}"
            raise OptionError(message(where, wrong, "Use a floating dtype"))
        return
    if not isinstance(softness, int | float | torch.SymFloat | torch.SymInt) or isinstance(softness, bool):
        wrong = of_type("softness", softness)
        raise OptionError(message(where, wrong, "Use a number or a tensor"))
    if not 0 < softness < math.inf:
        remedy = 'For the limit 0 use mode="hard"'
        raise OptionError(message(where, f"softness={softness} is not a positive number", "Use softness > 0", remedy))
    if softness < LEAST_SOFTNESS:
        wrong = f"softness={softness} is too small to divide by"
        raise OptionError(
            message(where, wrong, f"Use softness >= {LEAST_SOFTNESS:.2g}", 'For the limit 0 use mode="hard"')
        )


def row_softness(where: str, softness: Tensor | float, batch: tuple[int, ...]) -> Tensor | float:
    """`softness`, checked, with a trailing axis for [n] where it is a tensor with axes of its own.

    Args:
        where: the operator's name.
        softness: a number, or a tensor that broadcasts to `batch`.
        batch: shape of the input without the operator's dim.
    """
    check_softness(where, softness)
    return per_row(where, "softness", softness, batch) if isinstance(softness, Tensor) else softness


def per_row(where: str, name: str, value: Tensor, batch: tuple[int, ...]) -> Tensor:
    """A tensor option that broadcasts to the batch shape: as it is when 0-dim, else with a trailing axis for [n]."""
    shape = tuple(value.shape)
    sizes = zip(reversed(shape), reversed(batch), strict=False)
    if len(shape) > len(batch) or not all(s in (1, b) for s, b in sizes):
        wrong = f"{name} of shape {shape} does not broadcast against the batch shape {batch}"
        raise ShapeError(message(where, wrong, "The batch shape is the input's without the operator's dim"))
    return value.unsqueeze(-1) if value.ndim else value


def resolve_method(
    where: str,
    method: str | Method,
    mode: Mode,
    needs: str,
    ot_kwargs: dict[str, Any] | None = None,
) -> tuple[Method, Mode]:
    """The method object for a name, checked for what the operator needs of it, and the mode that it runs in.

    Args:
        where: the operator's name.
        method: a name in METHODS, or an instance with options of its own.
        mode: what the method is to run in, or the mode without a tail where it has none of it; "hard" selects the
            exact method, whatever is named.
        needs: the capability asked for, a key of `NEEDS`.
        ot_kwargs: options of the solver of method "ot", checked whatever the method.
    """
    if ot_kwargs is not None:
        check_ot_kwargs(where, ot_kwargs)
    if not isinstance(method, Method):
        if method not in METHODS:
            legal = f"Methods: {', '.join(METHODS)}"
            raise OptionError(message(where, f"unknown method {method!r}", legal, nearest(method, METHODS)))
        method = METHODS[method]
    mode = method.mode_of(mode)
    chosen = mode.select(HARD, method)
    flag, lack, kind = NEEDS[needs]
    if not getattr(chosen, flag):
        able = ", ".join(name for name, other in METHODS.items() if getattr(other, flag))
        wrong = f"method {method.name!r} {lack}, so it cannot be used here"
        raise MethodError(message(where, wrong, f"Methods with {kind}: {able}"))
    if chosen is method and mode.name not in method.modes:
        legal = f"Its modes: hard, {', '.join(method.modes)}"
        raise MethodError(message(where, f"method {method.name!r} is not defined in mode {mode.name!r}", legal))
    return chosen.with_ot_kwargs(ot_kwargs), mode


def check_ot_kwargs(where: str, ot_kwargs: dict[str, Any]) -> None:
    """SoftTorch's options of the transport solver: `sinkhorn_max_iter`, an integer, and `sinkhorn_tol`, a number."""
    if not isinstance(ot_kwargs, Mapping):
        wrong = f"ot_kwargs is of type {type(ot_kwargs).__name__}"
        raise OptionError(message(where, wrong, f"Use a dict of {', '.join(OT_KWARGS)}"))
    for name, value in ot_kwargs.items():
        legal = f"Options: {', '.join(OT_KWARGS)}"
        if name not in OT_KWARGS:
            raise OptionError(message(where, f"ot_kwargs has no option {name!r}", legal, nearest(name, OT_KWARGS)))
        whole = name == "sinkhorn_max_iter"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not value > 0:
            legal = "Use an integer of at least 1" if whole else "Use a number above 0"
            raise OptionError(message(where, f"ot_kwargs has {name}={value!r}", legal))


# What an operator may need: the flag of Method that says so, what a method without it lacks, what to call
# the others.
NEEDS = {
    "values": ("has_values", "gives no sorted values", "sorted values"),
    "rows": ("has_rows", "gives sorted values but no soft indices", "indices"),
    "rank": ("has_rank", "gives no ranks", "ranks"),
    "mask": ("has_mask", "gives no top-k mask", "top-k masks"),
}


def check_pair(where: str, hard: Tensor, soft: Tensor) -> None:
    """Two sides of a straight-through result, (...) each, have one shape, and the soft one has a derivative."""
    if hard.shape != soft.shape:
        wrong = f"hard has shape {tuple(hard.shape)} and soft has shape {tuple(soft.shape)}"
        remedy = "Expand or reduce one of them first"
        raise ShapeError(message(where, wrong, "Both must have the same shape", remedy))
    if not (soft.is_floating_point() or soft.is_complex()):
        wrong = f"soft has dtype {soft.dtype}, which has no derivative"
        remedy = "Convert what it is computed from, not the result"
        raise ShapeError(message(where, wrong, "soft must be of a floating type", remedy))


def resolve_dim(where: str, dim: int, x: Tensor) -> int:
    """`dim` counted from the front, 0 .. ndim-1; a 0-dim tensor has the one dimension that torch gives it.

    >>> resolve_dim("sort", -1, torch.zeros(2, 3))
    1
    """
    try:
        place = operator.index(dim)
    except TypeError as error:
        wrong = of_type("dim", dim)
        raise OptionError(message(where, wrong, "Use an integer")) from error
    count = max(x.ndim, 1)
    if not -count <= place < count:
        legal = f"Use {-count} <= dim <= {count - 1}"
        raise DimensionError(message(where, f"dim={dim} is out of range for input {tuple(x.shape)}", legal))
    return place % count


def check_log_probs(where: str, return_log_probs: bool, log_prob_eps: Tensor | float | None) -> None:
    """`log_prob_eps` belongs to `return_log_probs=True` and is a probability above 0, or a tensor of one."""
    if log_prob_eps is None:
        return
    if not return_log_probs:
        wrong = "log_prob_eps is given" if isinstance(log_prob_eps, Tensor) else f"log_prob_eps={log_prob_eps} is given"
        wrong += " without return_log_probs"
        raise OptionError(message(where, wrong, "", "Set return_log_probs=True or leave log_prob_eps out"))
    if isinstance(log_prob_eps, Tensor):
        if log_prob_eps.dim() != 0 or not log_prob_eps.is_floating_point():
            wrong = f"log_prob_eps is a tensor of shape {tuple(log_prob_eps.shape)} and dtype {log_prob_eps.dtype}"
            raise OptionError(message(where, wrong, "Use a number, or a floating tensor without dims"))
        return
    if not 0 < log_prob_eps <= 1:
        raise OptionError(message(where, f"log_prob_eps={log_prob_eps} is no probability", "Use 0 < eps <= 1"))
