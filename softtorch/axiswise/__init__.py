"""Operators along an axis: what chooses, sorts, ranks or counts the entries of a dim.

Options that they share, documented here once:

- softness: how soft the choice is, a positive number or a floating tensor, 0-dim or broadcastable to the
  batch (the input's shape without dim). Tensors may need a gradient and are never read back. It is in units
  of the standardized input, which lies in (0, 1), or of the input itself with standardize=False.
- mode: "smooth" (default), "c0", "c1", "c2" for the smoothness of the relaxation, or "hard" for torch's own
  result.
- method: the relaxation, a name in `softtorch.methods.METHODS` or an instance with options of its own.
- standardize: compare sigmoid((x - mean) / sqrt(var + 1e-6)) instead of x. Values are averages of x itself
  either way.
- ot_kwargs: options of method "ot", as SoftTorch has them; method=OptimalTransport(...) says the same.
- gated_grad: False stops the gradient that flows through the weights of the averages.
- return_indices: False leaves the index out of a pair.
- return_log_probs: the soft index as log-probabilities; entries of probability 0 are -inf.
- log_prob_eps: with return_log_probs, raise every probability to at least this, then renormalize.

Half precision is computed in float32. Entries of -inf or inf, and those beyond half of the dtype's range,
take the first and last places and have probability exactly 0 at all others; a NaN makes its row NaN.
"""

from softtorch.axiswise.binning import bucketize, histc, searchsorted
from softtorch.axiswise.extrema import argmax, argmin, max, min
from softtorch.axiswise.laplace_quantile import laplace_quantile
from softtorch.axiswise.medians import argmedian, median
from softtorch.axiswise.membership import topk_mask
from softtorch.axiswise.ordering import argsort, kthvalue, rank, sort, topk
from softtorch.axiswise.quantiles import argpercentile, argquantile, percentile, quantile
from softtorch.axiswise.results import ValuesAndIndices
from softtorch.axiswise.running import cummax, cummin

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
