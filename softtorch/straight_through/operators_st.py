"""The straight-through form of every operator: NAME_st has the value of NAME in mode "hard" and the derivative of NAME.

Made by `st`, or element by element by `_pointwise`. For operators without a mode it is made by `_paired`, whose value
is torch's own function of the SoftBools rounded to bools and of the most likely integers, and for safe functions by
`_safe`, whose value is torch's own, infinities and NaN included. Random operators make their own (operators/sampling).
To add one: a line here, and its name in __all__.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from softtorch.checks import resolve_mode
from softtorch.kernels.numeric.precision import floating
from softtorch.kernels.numeric.tracing import differentiating
from softtorch.modes import HARD, Mode, StraightThrough
from softtorch.operators import (
    activations,
    aggregation,
    axiswise,
    comparison,
    elementwise,
    hard_selection,
    indexing,
    logic,
    pooling,
    rounding,
    safe,
    scatter,
    selection,
    shrinkage,
    torch_names,
)
from softtorch.straight_through.joining import st, straight_through

__all__ = [
    "abs_st",
    "absolute_st",
    "adaptive_max_pool1d_st",
    "adaptive_max_pool2d_st",
    "adaptive_max_pool3d_st",
    "all_st",
    "amax_st",
    "amin_st",
    "any_st",
    "arccos_st",
    "arcsin_st",
    "argmax_st",
    "argmedian_st",
    "argmin_st",
    "argpercentile_st",
    "argquantile_st",
    "argsort_st",
    "bincount_st",
    "bucketize_st",
    "ceil_st",
    "choose_st",
    "clamp_st",
    "clip_st",
    "cummax_st",
    "cummin_st",
    "div_st",
    "dynamic_slice_st",
    "embedding_st",
    "eq_st",
    "floor_st",
    "fmod_st",
    "frac_st",
    "gather_st",
    "gaussian_relu_st",
    "ge_st",
    "greater_equal_st",
    "greater_st",
    "gt_st",
    "hardshrink_st",
    "hardsigmoid_st",
    "hardswish_st",
    "hardtanh_st",
    "heaviside_st",
    "histc_st",
    "index_select_st",
    "isclose_st",
    "kthvalue_st",
    "le_st",
    "leaky_relu_st",
    "less_equal_st",
    "less_st",
    "log_st",
    "logical_and_st",
    "logical_not_st",
    "logical_or_st",
    "logical_xor_st",
    "lt_st",
    "masked_fill_st",
    "masked_mean_st",
    "masked_sum_st",
    "max_pool1d_st",
    "max_pool2d_st",
    "max_pool3d_st",
    "max_st",
    "maximum_st",
    "median_st",
    "min_st",
    "minimum_st",
    "msort_st",
    "narrow_st",
    "ne_st",
    "norm_st",
    "not_equal_st",
    "one_hot_st",
    "percentile_st",
    "prelu_st",
    "quantile_st",
    "rank_st",
    "relu6_st",
    "relu_st",
    "remainder_st",
    "round_st",
    "scatter_add_st",
    "scatter_reduce_st",
    "scatter_st",
    "searchsorted_st",
    "sigmoidal_st",
    "sign_st",
    "softrelu_st",
    "softshrink_st",
    "sort_st",
    "sqrt_st",
    "take_along_dim_st",
    "take_st",
    "threshold_st",
    "topk_mask_st",
    "topk_st",
    "trunc_st",
    "where_st",
]

P = ParamSpec("P")
R = TypeVar("R")


def _named(fn: Callable[P, R], name: str) -> Callable[P, R]:
    """`fn` under the name NAME_st, with a docstring that points to NAME."""
    fn.__name__ = fn.__qualname__ = f"{name}_st"
    fn.__doc__ = f'The value of `{name}` in mode "hard", bit for bit, with the derivative of the soft `{name}`.'
    return fn


def _st(fn: Callable[P, R]) -> Callable[P, R]:
    return _named(st(fn), getattr(fn, "__name__", "fn"))


def _pointwise(fn: Callable[P, Tensor], hard: Callable[..., Tensor] | None = None) -> Callable[P, Tensor]:
    """The same for elementwise operators, which know a StraightThrough mode and then compute one side alone.

    Args:
        fn: the operator.
        hard: torch's own function, where it is all there is to do without options and without derivatives.
    """
    parameters = inspect.signature(fn).parameters
    place, default = list(parameters).index("mode"), parameters["mode"].default
    call: Callable[..., Tensor] = fn
    name: str = getattr(fn, "__name__", "fn")

    @functools.wraps(fn)
    def straight(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        if hard is not None and len(args) == 1 and not kwargs and not differentiating():
            return floating(hard(*args))
        if len(args) > place:
            mode = StraightThrough(resolve_mode(name, cast("str | Mode", args[place])))
            return call(*args[:place], mode, *args[place + 1 :], **kwargs)
        mode = StraightThrough(resolve_mode(name, cast("str | Mode", kwargs.pop("mode", default))))
        return call(*args, mode=mode, **kwargs)

    return _named(straight, name)


def _paired(
    soft: Callable[P, Tensor],
    hard: Callable[..., Tensor],
    *softs: str,
    harden: Callable[[Any], Any] | None = None,
) -> Callable[P, Tensor]:
    """The value of `hard` with the derivative of `soft`.

    Args:
        soft: the operator.
        hard: torch's function of the same arguments, by place.
        *softs: the arguments that are SoftBools, or SoftIndices.
        harden: what makes a hard argument of a soft one; by default a bool of a SoftBool.
    """
    signature = inspect.signature(soft)
    make = harden or _more_likely_than_not

    @functools.wraps(soft)
    def straight(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        value = hard(*[make(value) if name in softs else value for name, value in given.items()])
        if not value.is_floating_point():
            value = value.to(_soft_dtype(given[softs[0]]))
        return straight_through(value, soft(*args, **kwargs)) if differentiating() else value

    return _named(straight, getattr(soft, "__name__", "fn"))


def _safe(soft: Callable[P, Tensor], hard: Callable[..., Tensor]) -> Callable[P, Tensor]:
    """torch's own value, infinities and NaN included, with the derivative of the safe function."""

    signature = inspect.signature(soft)

    @functools.wraps(soft)
    def straight(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        value = hard(*bound.arguments.values())
        return straight_through(value, soft(*args, **kwargs)) if differentiating() else value

    return _named(straight, getattr(soft, "__name__", "fn"))


def _more_likely_than_not(condition: Tensor) -> Tensor:
    """A SoftBool (...) as a bool."""
    return condition.detach() > 0.5 if condition.is_floating_point() else condition.bool()


def _most_likely(soft_index: Any) -> Any:
    """A SoftIndex (..., [n]) as an integer (...); a sequence of them as a list."""
    return soft_index.detach().argmax(-1) if isinstance(soft_index, Tensor) else [_most_likely(i) for i in soft_index]


def _one_hot(soft_index: Tensor) -> Tensor:
    """A SoftIndex (..., [n]) with all its weight on the most likely place; integers as they are."""
    return HARD.project(soft_index.detach()) if soft_index.is_floating_point() else soft_index


def _relu(x: Tensor, softness: Tensor | float = 0.1) -> Tensor:
    return torch.relu(x)


def _soft_dtype(soft: Any) -> torch.dtype:
    first: Tensor = soft if isinstance(soft, Tensor) else soft[0]
    return first.dtype if first.is_floating_point() else torch.get_default_dtype()


gaussian_relu_st = _safe(activations.gaussian_relu, _relu)
hardsigmoid_st = _pointwise(activations.hardsigmoid)
hardswish_st = _pointwise(activations.hardswish)
hardtanh_st = _pointwise(activations.hardtanh)
leaky_relu_st = _pointwise(activations.leaky_relu)
relu6_st = _pointwise(activations.relu6)
threshold_st = _pointwise(activations.threshold)

eq_st = _pointwise(comparison.eq)
greater_st = _pointwise(comparison.greater)
greater_equal_st = _pointwise(comparison.greater_equal)
isclose_st = _pointwise(comparison.isclose)
less_st = _pointwise(comparison.less)
less_equal_st = _pointwise(comparison.less_equal)
not_equal_st = _pointwise(comparison.not_equal)
ge_st = greater_equal_st
gt_st = greater_st
le_st = less_equal_st
lt_st = less_st
ne_st = not_equal_st

abs_st = _pointwise(elementwise.abs, torch.abs)
clamp_st = _pointwise(elementwise.clamp)
heaviside_st = _pointwise(elementwise.heaviside)
absolute_st = _pointwise(torch_names.absolute, torch.abs)
clip_st = _pointwise(torch_names.clip)
maximum_st = _pointwise(elementwise.maximum)
minimum_st = _pointwise(elementwise.minimum)
relu_st = _pointwise(elementwise.relu, torch.relu)
sigmoidal_st = _pointwise(elementwise.sigmoidal)
sign_st = _pointwise(elementwise.sign, torch.sign)
softrelu_st = _pointwise(elementwise.softrelu, torch.relu)

ceil_st = _pointwise(rounding.ceil, torch.ceil)
floor_st = _pointwise(rounding.floor, torch.floor)
fmod_st = _pointwise(rounding.fmod)
frac_st = _pointwise(rounding.frac, torch.frac)
remainder_st = _pointwise(rounding.remainder)
round_st = _pointwise(rounding.round, torch.round)
trunc_st = _pointwise(rounding.trunc, torch.trunc)

amax_st = _st(torch_names.amax)
amin_st = _st(torch_names.amin)
argmax_st = _st(axiswise.argmax)
argmedian_st = _st(axiswise.argmedian)
argmin_st = _st(axiswise.argmin)
argpercentile_st = _st(axiswise.argpercentile)
argquantile_st = _st(axiswise.argquantile)
argsort_st = _st(axiswise.argsort)
bucketize_st = _st(axiswise.bucketize)
cummax_st = _st(axiswise.cummax)
cummin_st = _st(axiswise.cummin)
histc_st = _st(axiswise.histc)
kthvalue_st = _st(axiswise.kthvalue)
max_st = _st(axiswise.max)
median_st = _st(axiswise.median)
msort_st = _st(torch_names.msort)
min_st = _st(axiswise.min)
percentile_st = _st(axiswise.percentile)
quantile_st = _st(axiswise.quantile)
rank_st = _st(axiswise.rank)
searchsorted_st = _st(axiswise.searchsorted)
sort_st = _st(axiswise.sort)
topk_st = _st(axiswise.topk)
topk_mask_st = _st(axiswise.topk_mask)

logical_not_st = _paired(logic.logical_not, torch.logical_not, "x")
logical_and_st = _paired(logic.logical_and, hard_selection.logical_and, "x", "y")
logical_or_st = _paired(logic.logical_or, hard_selection.logical_or, "x", "y")
logical_xor_st = _paired(logic.logical_xor, hard_selection.logical_xor, "x", "y")
all_st = _paired(logic.all, hard_selection.all_, "x")
any_st = _paired(logic.any, hard_selection.any_, "x")
where_st = _paired(selection.where, torch.where, "condition")
masked_fill_st = _paired(selection.masked_fill, torch.masked_fill, "mask")
masked_sum_st = _paired(selection.masked_sum, hard_selection.masked_sum, "mask")
masked_mean_st = _paired(selection.masked_mean, hard_selection.masked_mean, "mask")
take_along_dim_st = _paired(indexing.take_along_dim, torch.take_along_dim, "soft_index", harden=_most_likely)
gather_st = _paired(indexing.gather, torch.gather, "soft_index", harden=_most_likely)
take_st = _paired(indexing.take, hard_selection.take, "soft_index", harden=_most_likely)
index_select_st = _paired(indexing.index_select, hard_selection.index_select, "soft_index", harden=_most_likely)
narrow_st = _paired(indexing.narrow, hard_selection.narrow, "soft_start", harden=_most_likely)
dynamic_slice_st = _paired(indexing.dynamic_slice, hard_selection.dynamic_slice, "soft_starts", harden=_most_likely)
choose_st = _paired(indexing.choose, hard_selection.choose, "soft_index", harden=_most_likely)
embedding_st = _paired(indexing.embedding, hard_selection.embedding, "soft_index", harden=_most_likely)
bincount_st = _paired(scatter.bincount, hard_selection.bincount, "soft_index", harden=_one_hot)
one_hot_st = _paired(scatter.one_hot, scatter.one_hot, "soft_index", harden=_one_hot)
scatter_st = _paired(scatter.scatter, torch.scatter, "soft_index", harden=_most_likely)
scatter_add_st = _paired(scatter.scatter_add, hard_selection.scatter_add, "soft_index", harden=_most_likely)

arccos_st = _safe(safe.arccos, torch.arccos)
arcsin_st = _safe(safe.arcsin, torch.arcsin)
div_st = _safe(safe.div, torch.div)
log_st = _safe(safe.log, torch.log)
sqrt_st = _safe(safe.sqrt, torch.sqrt)
norm_st = _safe(safe.norm, torch.linalg.vector_norm)
adaptive_max_pool1d_st = _st(pooling.adaptive_max_pool1d)
adaptive_max_pool2d_st = _st(pooling.adaptive_max_pool2d)
adaptive_max_pool3d_st = _st(pooling.adaptive_max_pool3d)
max_pool1d_st = _st(pooling.max_pool1d)
max_pool2d_st = _st(pooling.max_pool2d)
max_pool3d_st = _st(pooling.max_pool3d)
scatter_reduce_st = _st(aggregation.scatter_reduce)
hardshrink_st = _pointwise(shrinkage.hardshrink)
softshrink_st = _pointwise(shrinkage.softshrink)
prelu_st = _pointwise(shrinkage.prelu)
