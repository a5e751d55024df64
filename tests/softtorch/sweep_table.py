"""The sweep list: every operator in every method and mode.

An operator here is one line of a table: its name, how it is called on one row or on a batch of rows, and the roles
of its inputs. Methods and modes come from the library's own tables. To add an operator, add its line.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from softtorch.methods import METHODS
from softtorch.modes import MODES
from softtorch.operators.gates import GATES
from tests.softtorch.sweep import Entry, Operator

# The logarithm of a probability that reaches 0 has a jump there. Relative errors are its absolute ones: methods that
# iterate are right to 1e-10, of probabilities of 1e-5.
_OF_LOGARITHMS = {"continuity": 0, "rounding": 1e-5, "float32_error": 1e-4}


def _axiswise(name: str, needs: str, hard_slope: bool, *arguments: Any, **fixed: Any) -> Operator:
    """An operator along an axis; a second word of `name` says which options are `fixed`."""

    def call(function: Any, x: Tensor, **options: Any) -> Any:
        return function(x, *arguments, dim=-1, **fixed, **options)

    special: dict[str, Any] = _OF_LOGARITHMS if "return_log_probs" in fixed else {}
    takes = ("softness", "mode", "method")
    return Operator(name, call, "x", needs, takes, hard_slope=hard_slope, by_row="row", **special)


def _random(
    name: str, role: str, by_row: str, *arguments: Any, hard_slope: bool = True, scalar: bool = True, **fixed: Any
) -> Operator:

    def call(function: Any, x: Tensor, **options: Any) -> Any:
        return function(x, *arguments, **fixed, **options)

    return Operator(name, call, role, random=True, by_row=by_row, hard_slope=hard_slope, scalar=scalar)


def _gate(name: str, function: Any, x: Tensor, y: Tensor) -> Any:
    return function(name, x, y)


def _itself(function: Any, *inputs: Tensor, **options: Any) -> Any:
    return function(*inputs, **options)


def _plain(
    name: str, roles: str = "x", *arguments: Any, fixed: dict[str, Any] | None = None, **settings: Any
) -> Operator:
    """An operator of its inputs and `arguments`; a second word of `name` says which options are `fixed`."""

    def call(function: Any, *inputs: Any, **options: Any) -> Any:
        return function(*inputs, *arguments, **(fixed or {}), **options)

    return Operator(name, call, roles, **settings)


AXISWISE = [
    _axiswise("argmax", "rows", False),
    _axiswise("argmin", "rows", False),
    _axiswise("max", "values", True),
    _axiswise("min", "values", True),
    _axiswise("argsort", "rows", False),
    _axiswise("sort", "values", True),
    _axiswise("topk", "values", True, 1),
    _axiswise("kthvalue", "values", True, 1),
    _axiswise("argmedian", "rows", False),
    _axiswise("median", "values", True),
    _axiswise("argquantile", "rows", False, 0.35),
    _axiswise("quantile", "values", True, 0.35),
    _axiswise("argpercentile", "rows", False, 62.0),
    _axiswise("percentile", "values", True, 62.0),
    _axiswise("cummax", "rows", True),
    _axiswise("cummin", "rows", True),
    _axiswise("rank", "rank", False),
    _axiswise("topk_mask", "mask", False, 1),
    Operator("laplace_quantile", lambda f, x, **o: f(x, 0.35, dim=-1, **o), takes=("softness",), by_row="row"),
]


def _pooling(name: str, *arguments: Any) -> Operator:
    """An operator on windows along the last axis, which here has one channel and no other spatial axis."""

    def call(function: Any, x: Tensor, **options: Any) -> Any:
        channel = x.unsqueeze(-2) if x.ndim else x
        return function(channel, *arguments, **options).squeeze(-2)

    return Operator(name, call, "x", "values", ("softness", "mode", "method"), scalar=False, by_row="none")


POOLING = [
    _pooling("max_pool1d", 3, 2, 1),
    # One window, as long as the axis: of several, some would have a length where sorting networks change their layout.
    _pooling("adaptive_max_pool1d", 1),
]


def _grouped(function: Any, x: Tensor, y: Tensor, **options: Any) -> Any:
    """The extrema of even and odd places, of which the first is y's; other places of y are groups without members."""
    if not x.ndim:
        groups = torch.zeros((), dtype=torch.int64, device=x.device)
    else:
        groups = (torch.arange(x.shape[-1], device=x.device) % min(2, x.shape[-1])).expand(x.shape)
    return function(y, -1, groups, x, "amax", **options)


AGGREGATION = [Operator("scatter_reduce", _grouped, "xy", modes=("hard", "smooth"), by_row="none")]

LOG_PROBABILITIES = [
    _axiswise("argmax log", "rows", False, return_log_probs=True),
    _axiswise("argsort log", "rows", False, return_log_probs=True, log_prob_eps=1e-4),
    _axiswise("argquantile log", "rows", False, 0.35, return_log_probs=True, log_prob_eps=1e-4),
    _axiswise("topk log", "values", False, 1, return_log_probs=True, log_prob_eps=1e-6),
    _axiswise("cummax log", "rows", False, return_log_probs=True),
]

STEPS = ["sigmoidal", "heaviside", "sign", "round", "floor", "ceil", "trunc"]
RAMPS = ["softrelu", "relu", "abs", "frac", "hardtanh", "relu6", "leaky_relu", "hardsigmoid", "hardswish"]
COMPARISONS = ["greater", "greater_equal", "less", "less_equal", "eq", "not_equal", "isclose"]

ELEMENTWISE = [
    *(_plain(name, hard_slope=False) for name in STEPS),
    *(_plain(name) for name in RAMPS),
    _plain("relu gated", fixed={"gated": True}),
    _plain("clamp", "x", -1.0, 0.7),
    _plain("clamp gated", "x", -1.0, 0.7, fixed={"gated": True}),
    _plain("threshold", "x", 0.3, -1.0),
    _plain("hardshrink", "x", 0.4, continuity=0),
    _plain("softshrink", "x", 0.4),
    Operator("prelu", lambda f, x, b, **options: f(x, b[:1], **options), "yb"),  # its slope has the derivative x
    _plain("gaussian_relu", takes=("softness",)),
    *(_plain(name, "xy") for name in ("maximum", "minimum")),
    *(_plain(name, "xy", floor=0.5) for name in ("fmod", "remainder")),
    *(_plain(name, "xy", hard_slope=False) for name in COMPARISONS),
]

LOGIC = [
    _plain("logical_not", "p", takes=()),
    *(_plain(name, "pp", takes=()) for name in ("logical_and", "logical_or", "logical_xor")),
    *(_plain(name, "p", takes=()) for name in ("all", "any")),
]

SELECTION = [
    _plain("where", "pxy", takes=()),
    _plain("masked_fill", "xp", -0.7, takes=()),
    Operator("masked_sum", lambda f, x, p: f(x, p, dim=-1), "xp", takes=()),
    Operator("masked_mean", lambda f, x, p: f(x, p, dim=-1), "xp", takes=()),
    Operator("take_along_dim", lambda f, x, i: f(x, i, dim=-1), "xi", takes=()),
    Operator("gather", lambda f, x, i: f(x, -1, i), "xi", takes=()),
    Operator("take", lambda f, x, s: f(x, s, dim=-1), "xs", takes=()),
    Operator("index_select", lambda f, x, s: f(x, s, dim=-1), "xs", takes=()),
    Operator("narrow", lambda f, x, s: f(x, s, 1, dim=-1), "xs", takes=(), scalar=False),
    Operator("scatter", lambda f, x, i, v: f(x, -1, i, v), "yiv", takes=()),
    Operator("scatter_add", lambda f, x, i, v: f(x, -1, i, v), "yiv", takes=()),
    Operator("embedding", _itself, "iw", takes=()),
    Operator("choose", lambda f, i, w: f(i, w[:, :1]), "iw", takes=()),
    Operator("one_hot", lambda f, i: f(i, 9), "i", takes=()),
    Operator("bincount", lambda f, i: f(i), "i", takes=(), whole=True),
    Operator("dynamic_slice", lambda f, x, s: f(x, [s], [1]), "xs", takes=(), whole=True),
]

BINNING = [
    Operator("bucketize", _itself, "xb", hard_slope=False),
    Operator("searchsorted", lambda f, x, b, **options: f(b, x, **options), "xb", hard_slope=False),
    Operator("histc", lambda f, x, **o: f(x, 4, -2.0, 2.0, **o), "x", whole=True, hard_slope=False),
]

SAFE = [
    *(_plain(name, takes=()) for name in ("sqrt", "log")),
    *(_plain(name, takes=(), domain=0.9) for name in ("arcsin", "arccos")),
    _plain("div", "xy", takes=(), floor=0.5),
    Operator("norm", lambda f, x: f(x, dim=-1), takes=()),
]

RANDOM = [
    *(_plain(name, "p", random=True, hard_slope=False) for name in ("bernoulli", "rademacher")),
    Operator("binomial", lambda f, p, **o: f(3, p, **o), "p", random=True, hard_slope=False),
    _random("categorical", "x", "row", hard_slope=False),
    _random("multinomial", "p", "row", 1, hard_slope=False, scalar=False),
    _random("choice", "y", "none", 2, dim=-1),
    _random("permutation", "y", "none", dim=-1),
]

GATES_AND_NORMALIZATIONS = [
    *(Operator(f"gate {name}", partial(_gate, name), "pp", takes=()) for name in GATES),
    _plain("mixed_gates", "ppg", takes=()),
    _plain("smooth_step", takes=(), continuity=1),
    _plain("softpick", takes=(), continuity=0),
    _plain("softpick rectified", takes=(), continuity=0, fixed={"variant": "rectified"}),
    Operator("softpick_attention", lambda f, i, w: f(i, w.mT, w.mT), "iw", takes=(), continuity=0),
    _plain("entmax", takes=(), continuity=1),
    _plain("sparsemax", takes=(), continuity=0),
]

FAMILIES = {
    "axiswise": AXISWISE,
    "pooling": POOLING,
    "aggregation": AGGREGATION,
    "log-probabilities": LOG_PROBABILITIES,
    "elementwise and comparison": ELEMENTWISE,
    "binning": BINNING,
    "logic": LOGIC,
    "selection": SELECTION,
    "safe": SAFE,
    "random": RANDOM,
    "gates and normalizations": GATES_AND_NORMALIZATIONS,
}


def _entries(operator: Operator) -> list[Entry]:
    """The operator in every mode, and every method where it takes one; mode "hard" once, for it ignores the method."""
    # A step with a tail shares its code with the others (tests/softtorch/modes/test_tailed.py); methods have none.
    modes = [name for name in MODES if not MODES[name].has_tail] if "mode" in operator.takes else [""]
    if operator.needs is None:
        return [Entry(operator, "", mode) for mode in modes]
    soft = [Entry(operator, method, mode) for method in METHODS for mode in modes if mode != "hard"]
    return [Entry(operator, next(iter(METHODS)), "hard"), *soft]


ENTRIES = [entry for operators in FAMILIES.values() for operator in operators for entry in _entries(operator)]
