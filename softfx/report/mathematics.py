"""What `softfx explain` says of the mathematics: the formula of the soft form and what it tends to, by operation.

In the formulas s is the softness, x and y the operands, sigma the step of the mode (smooth: the logistic function; c0,
c1, c2: piecewise polynomials that reach 0 and 1 at 5 s), rows of P are distributions. To add one: a line in FORMULAS.
"""

from __future__ import annotations

from collections.abc import Mapping

from softfx.rules.rule import Rule

__all__ = ["FORMULAS", "formula", "limit"]

_ROWS = "softsort, mode smooth: P_ij = softmax_j(-|x_(i) - x_j| / s), x_(i) the i-th in order; "
_GUARD = "the value as it is; the derivative as it is where finite, and 0 where it would be infinite or NaN"

FORMULAS: Mapping[str, str] = {
    "round": "sum_k k (sigma((x - k + 1/2) / s) - sigma((x - k - 1/2) / s)), over the integers k around x",
    "floor": "the staircase of round at x - 1/2",
    "ceil": "the staircase of round at x + 1/2",
    "trunc": "floor(x) + sigma(-x / s), floor as above",
    "frac": "x - trunc(x), trunc as above",
    "sign": "2 sigma(x / s) - 1",
    "heaviside": "sigma(x / s)",
    "signbit": "sigma(-x / s)",
    "copysign": "|x| (2 sigma(y / s) - 1)",
    "abs": "x (2 sigma(x / s) - 1)",
    "relu": "s times the integral of sigma up to x / s; smooth: s log(1 + e^(x / s))",
    "clamp": "low + relu(x - low) - relu(x - high), relu as above",
    "clamp_min": "low + relu(x - low), relu as above",
    "clamp_max": "high - relu(high - x), relu as above",
    "hardtanh": "clamp between min_val and max_val",
    "relu6": "clamp between 0 and 6",
    "leaky_relu": "a x + (1 - a) relu(x), a the negative slope",
    "hardsigmoid": "clamp(x / 6 + 1/2) between 0 and 1, its corners of softness s / 6",
    "hardswish": "x hardsigmoid(x)",
    "threshold": "value + (x - value) sigma((x - threshold) / s)",
    "hardshrink": "x (sigma((x - lambd) / s) + sigma((-x - lambd) / s))",
    "softshrink": "relu(x - lambd) - relu(-x - lambd), relu as above",
    "prelu": "relu(x) - w relu(-x), w the weight",
    "minimum": "y - relu(y - x), relu as above",
    "maximum": "y + relu(x - y), relu as above",
    "softmax": "softpick: x_i / (1 + sum_j |x_j|), or relu(e^x_i - 1) / sum_j |e^x_j - 1| for variant = 'rectified'",
    "scaled_dot_product_attention": "softpick(Q K^T / sqrt(d) + mask) V",
    "argmax": "softsort, mode smooth: p_j = softmax_j(x_j / s); other modes: projections of x / s onto the simplex",
    "argmin": "argmax of -x",
    "max": "sum_j p_j x_j, p as for argmax; of two tensors y + relu(x - y)",
    "min": "-max(-x)",
    "sort": _ROWS + "values P x, indices P",
    "msort": _ROWS + "values P x",
    "argsort": _ROWS + "indices P",
    "topk": _ROWS + "the first k rows, values P x, indices P",
    "kthvalue": _ROWS + "the k-th row p, value p x, index p",
    "median": _ROWS + "the middle row p, value p x, index p",
    "quantile": _ROWS + "interpolated between the rows on either side of q (n - 1)",
    "cummax": "argmax of x_1 .. x_i for each i",
    "cummin": "argmin of x_1 .. x_i for each i",
    "unique": "values u as they are, each the mean of those equal to it; inverse: softtorch.rank of the u, from 0 on:"
    " sum_k k P_kj / sum_k P_kj - 1 for u_j, P the rows of method neuralsort",
    "amax": "max along each dim",
    "amin": "min along each dim",
    "max_pool1d": "max over each window",
    "max_pool2d": "max over each window",
    "max_pool3d": "max over each window",
    "adaptive_max_pool1d": "max over each window",
    "adaptive_max_pool2d": "max over each window",
    "adaptive_max_pool3d": "max over each window",
    "scatter_extremum": "in each group sum_j p_j x_j, p_j = softmax_j(x_j / s), of -x for amin",
    "searchsorted": "P(k) = sigma((x - b_(k-1)) / s) - sigma((x - b_k) / s) for the gap k of the boundaries b",
    "bucketize": "as searchsorted",
    "histc": "the sum over elements of the probability of each bin, as searchsorted",
    "gt": "sigma((x - y) / s)",
    "ge": "sigma((x - y) / s)",
    "lt": "sigma((y - x) / s)",
    "le": "sigma((y - x) / s)",
    "eq": "2 sigma(-|x - y| / s), |.| soft; of indices: the sum of the probabilities of equal pairs",
    "ne": "1 - eq",
    "isclose": "2 sigma((atol + rtol |y| - |x - y|) / s), at most 1, |.| soft",
    "logical_and": "a b, of probabilities",
    "logical_or": "1 - (1 - a)(1 - b), of probabilities",
    "logical_xor": "a (1 - b) + (1 - a) b, of probabilities",
    "logical_not": "1 - a, of a probability",
    "any": "1 - prod(1 - a), of probabilities",
    "all": "prod a, of probabilities",
    "cast": "to integers: trunc; to bools: the probability of not being 0",
    "reduce_as_integers": "trunc of each element, then the sum",
    "floor_divide": "floor(x / y)",
    "trunc_divide": "trunc(x / y)",
    "remainder": "x - y floor(x / y)",
    "multinomial": "straight-through: the derivative of p / sum p; soft: softmax((log p + Gumbel noise) / s)",
    "bernoulli": "straight-through: the derivative of p; soft: sigma((logit p + logistic noise) / s)",
    "existing_straight_through": "its own value; estimator = 'rotation': the rotation that takes x to q",
}


def formula(rule: Rule) -> str:
    """The soft form as a formula, or nothing for what only carries on."""
    return _GUARD if rule.family == "unsafe" else FORMULAS.get(rule.op, "")


def limit(rule: Rule) -> str:
    """What becomes of it as softness falls, and where it does not help."""
    if rule.family == "unsafe":
        return "no value changes; a derivative of 0 still carries nothing"
    if rule.family in ("selection", "normalization") or rule.op == "existing_straight_through":
        return ""
    if rule.family == "random":
        return "the frequencies are those of the original; straight-through gradients are biased for losses that bend"
    if "method" in rule.options:
        return (
            "torch's result as s -> 0 where nothing ties; equal entries share a place at any s, and entries much"
            " further apart than s (in units of their spread, unless standardize = false) hardly feel each other"
        )
    if "softness" in rule.options:
        return "torch's result as s -> 0 away from the jump or corner; further than some s from it the derivative fades"
    return ""
