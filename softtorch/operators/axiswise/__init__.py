"""Operators along an axis: they choose, sort, rank or count the entries of a dim.

The options that they share are documented in softtorch/shared.py. Half precision is computed in float32. Entries of
-inf or inf, and those beyond half of the dtype's range, take the first and last places and have probability exactly 0
at all others; a NaN makes its row NaN.
"""

from softtorch.operators.axiswise.binning import bucketize, histc, searchsorted
from softtorch.operators.axiswise.extrema import argmax, argmin, max, min
from softtorch.operators.axiswise.laplace_quantile import laplace_quantile
from softtorch.operators.axiswise.medians import argmedian, median
from softtorch.operators.axiswise.membership import topk_mask
from softtorch.operators.axiswise.ordering import argsort, kthvalue, rank, sort, topk
from softtorch.operators.axiswise.quantiles import argpercentile, argquantile, percentile, quantile
from softtorch.operators.axiswise.results import ValuesAndIndices
from softtorch.operators.axiswise.running import cummax, cummin

__all__ = [
    "ValuesAndIndices",
    "argmax",
    "argmedian",
    "argmin",
    "argpercentile",
    "argquantile",
    "argsort",
    "bucketize",
    "cummax",
    "cummin",
    "histc",
    "kthvalue",
    "laplace_quantile",
    "max",
    "median",
    "min",
    "percentile",
    "quantile",
    "rank",
    "searchsorted",
    "sort",
    "topk",
    "topk_mask",
]
