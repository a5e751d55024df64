"""Comparisons: of real numbers (relaxed), and of soft indices, counts and bools (resolved on the integers they may be).

A comparison of an index is the probability that it holds, summed over the numbers that the index ranges over; it is not
relaxed a second time. To add a comparison of two operands, append a `_comparison` to RULES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

import softtorch
from softfx import ops
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Operation
from softfx.rules.chosen import compare as compare_chosen
from softfx.rules.chosen import is_any
from softfx.rules.context import Beside, Operand, RuleContext
from softfx.rules.estimators import difference, drawn, identity
from softfx.rules.idioms import CHOSEN, MADE_OF_CHOICE
from softfx.rules.readings import as_real
from softfx.rules.refusals import ARRIVES_HARD, CannotSoften, is_discrete, refuse_discrete
from softfx.rules.rule import Estimate, Rule
from softfx.rules.units import MARGINS, OPERAND
from softfx.runtime import counts, distributions, draws, tallies, ties
from softfx.runtime.mirrored import mirrored
from softfx.values import Soft, SoftBool, SoftChoice, SoftCount, SoftIndex, SoftTally

__all__ = ["RULES", "among", "as_written", "resolved", "written_names"]

_MAJORITY = "majority: how many decisions hold, compared"
_COUNTED = "mask of a count: as many places as decisions hold"


# -- of two operands ---------------------------------------------------------------------------------------------------


def _relax(compare: Callable[..., Tensor], function: Callable[..., Tensor]) -> Callable[..., SoftBool]:
    """The relaxation of a comparison by its soft form `function`."""

    def relax(context: RuleContext, input: Tensor | float, other: Tensor | float) -> SoftBool:
        reals = [o for o in (input, other) if isinstance(o, Tensor) and not is_discrete(o)]
        if not reals:
            raise CannotSoften(ARRIVES_HARD)
        if context.beside is not None:
            return context.soft_bool(among(context, context.beside, compare))
        x, y = (_real(context, operand, reals[0]) for operand in (input, other))
        return context.soft_bool(context.call(function, x, y, **context.options))

    return relax


def among(context: RuleContext, beside: Beside, compare: Callable[..., Tensor]) -> Tensor:
    """The probability that numbers compare so with what was made of them."""
    context.recognise(beside.idiom)
    asked = mirrored(compare) if beside.reflected else compare
    return context.call(beside.form, asked, beside.rows, beside.statistic, *beside.where, **context.options)


def _real(context: RuleContext, operand: Tensor | float, like: Tensor) -> Tensor:
    """An operand as a tensor of the dtype of `like`, if it is no real tensor."""
    if isinstance(operand, Tensor):
        return context.call(torch.Tensor.to, operand, like.dtype) if is_discrete(operand) else operand
    return context.call(torch.full, (), operand, dtype=like.dtype, device=like.device)


def resolved(compare: Callable[..., Tensor], function: Callable[..., Tensor]) -> Callable[..., SoftBool]:
    """The propagation of a comparison: `compare` on integers, the soft form beside a real tensor."""
    relax = _relax(compare, function)

    def propagate(context: RuleContext, input: Operand, other: Operand) -> SoftBool:
        # A count is compared with constants of masks; an index with whatever has no derivative of its own.
        is_count = not any(isinstance(operand, SoftIndex | SoftChoice) for operand in (input, other))
        tensors = [operand for operand in (input, other) if isinstance(operand, Tensor)]
        whole = (
            context.is_integral(tensor, is_count) or not (is_count or context.is_source(tensor)) for tensor in tensors
        )
        if not all(whole):
            return relax(context, as_real(context, input), as_real(context, other))
        if isinstance(input, Soft) and isinstance(other, Soft):
            return context.soft_bool(_of_two(context, compare, input, other))
        soft, fixed, reflected = (input, other, False) if isinstance(input, Soft) else (other, input, True)
        assert isinstance(soft, Soft)  # one of the two is
        if isinstance(soft, SoftChoice):
            return compare_chosen(context, compare, input, other)
        if isinstance(soft, SoftTally) and soft.counted > 1:
            context.recognise(_COUNTED if _is_beside_places(soft, fixed, soft.counted) else _MAJORITY)
            likely = tallies.with_a_tail if context.reaches else tallies.probability
            return context.soft_bool(context.call(likely, compare, soft.rows(context.call), fixed, reflected))
        if isinstance(soft, SoftIndex) and soft.support is not None:
            context.recognise(MADE_OF_CHOICE)
        elif isinstance(soft, SoftIndex) and compare is torch.eq and _is_beside_places(soft, fixed, soft.size):
            context.recognise(CHOSEN)
        weights, support = _points(context, soft)
        value = context.call(distributions.probability, compare, weights, support, None, fixed, reflected)
        return context.soft_bool(value)

    return propagate


def _is_beside_places(soft: Soft, fixed: Operand, least: int) -> bool:
    """Return True for at least so many numbers along the last axis, beside which each row has one soft integer."""
    numbers = fixed.shape[-1] if isinstance(fixed, Tensor) and fixed.dim() else 1
    return numbers > 1 and numbers >= least and not (soft.shape and soft.shape[-1] != 1)


def _points(context: RuleContext, soft: Soft) -> tuple[Tensor, Tensor]:
    """The numbers that a shadow may be; a count that is one of them is asked about both of its neighbours.

    A comparison may change on either side of it, and a derivative to one side alone would miss that.
    """
    if type(soft) is not SoftCount:
        return soft.finite(context.call)
    weights, support = context.call(counts.count_neighbours, soft.value)
    return weights, support


def _of_two(context: RuleContext, compare: Callable[..., Tensor], input: Soft, other: Soft) -> Tensor:
    """The probability that a comparison of two shadows holds: of two counts, that of their difference with 0."""
    result: Tensor
    if all(type(operand) in (SoftCount, SoftTally) for operand in (input, other)):
        apart = SoftCount(context.call(torch.sub, input.real(context.call), other.real(context.call)))
        weights, support = _points(context, apart)
        result = context.call(distributions.probability, compare, weights, support, None, 0, False)
    else:
        x, y = input.finite(context.call), other.finite(context.call)
        result = context.call(distributions.probability, compare, *x, *y)
    return result


def _of_numbers(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True if numbers are compared, and not a tensor with None or a string."""
    return all(isinstance(operand, Tensor | int | float | complex) for operand in (*args, *kwargs.values()))


def _comparison(
    code: str, operation: Operation, function: Callable[..., Tensor], formula: str, *, sign: int = 0
) -> Rule:
    """A rule of a comparison that grows with its first operand (`sign` above 0), falls, or does neither."""
    compare = operation.function
    estimators: dict[str, Estimate | None] = {}
    if sign:
        estimators["identity"] = identity(difference(sign))
        estimators["exchange"] = None
        estimators["gumbel"] = drawn(compare, draws.with_logistic_noise)
    return Rule(
        code,
        operation,
        "discrete",
        "A bool has no derivative: whatever is compared stops learning from what the comparison decides.",
        "Keep it where the bool only checks an argument, pads, or selects between branches that need no gradient.",
        "SoftTorch 0.1.1 documentation",
        formula=formula,
        soft=f"softtorch.{function.__name__}",
        relax=_relax(compare, function),
        propagate=resolved(compare, function),
        options=("softness", "mode", "epsilon"),
        is_site=_of_numbers,
        unit=MARGINS,
        estimators=estimators,
        ties=ties.equal,
    )


# -- other questions that a bool answers -------------------------------------------------------------------------------


def _isclose(context: RuleContext, input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8) -> SoftBool:
    refuse_discrete(input)
    refuse_discrete(other)
    context.recognise("tolerance: two thresholds")
    value = context.call(softtorch.isclose, input, other, rtol=rtol, atol=atol, **context.options)
    return context.soft_bool(value)


def _signbit(context: RuleContext, input: Tensor) -> SoftBool:
    zero = _real(context, 0, input)
    return context.soft_bool(context.call(softtorch.less, input, zero, **context.options))


def _isin(
    context: RuleContext,
    elements: Operand,
    test_elements: Operand,
    *,
    assume_unique: bool = False,
    invert: bool = False,
) -> SoftBool:
    """The probability that an index is any of the numbers in a list."""
    if not isinstance(elements, Soft) or isinstance(test_elements, Soft):
        raise CannotSoften("isin in a list of soft values")
    if isinstance(elements, SoftChoice):
        return is_any(context, elements, test_elements, invert)
    weights, support = elements.finite(context.call)
    hits = context.call(torch.isin, support, test_elements, invert=invert)
    return context.soft_bool(context.call(distributions.weighted, weights, hits))


RULES = (
    _comparison("SX301", ops.gt, softtorch.greater, "sigma((x - y - epsilon) / s)", sign=1),
    _comparison("SX302", ops.ge, softtorch.greater_equal, "sigma((x - y + epsilon) / s)", sign=1),
    _comparison("SX303", ops.lt, softtorch.less, "sigma((y - x - epsilon) / s)", sign=-1),
    _comparison("SX304", ops.le, softtorch.less_equal, "sigma((y - x + epsilon) / s)", sign=-1),
    _comparison(
        "SX305",
        ops.eq,
        softtorch.eq,
        "2 sigma((epsilon - |x - y|) / s), at most 1, |.| soft; "
        "of indices: the sum of the probabilities of equal pairs",
    ),
    _comparison("SX306", ops.ne, softtorch.not_equal, "1 - eq(x, y), eq soft"),
    Rule(
        "SX307",
        ops.isclose,
        "discrete",
        "A bool has no derivative.",
        "Keep it where it only checks an argument.",
        "SoftTorch 0.1.1 documentation",
        formula="2 sigma((atol + rtol |y| + epsilon - |x - y|) / s), at most 1, |.| soft",
        soft="softtorch.isclose",
        relax=_isclose,
        unit=MARGINS,
        options=("softness", "mode", "epsilon"),
    ),
    Rule(
        "SX308",
        ops.signbit,
        "discrete",
        "A bool has no derivative.",
        "Keep it where it only checks an argument.",
        "SoftTorch 0.1.1 documentation",
        formula="lt(x, 0), lt soft",
        soft="softtorch.less",
        relax=_signbit,
        unit=OPERAND,
        is_site=_of_numbers,
    ),
    Rule(
        "SX309",
        ops.isin,
        "selection",
        "Whether an index is in a list; of a soft one it is a probability.",
        "It follows what reaches it.",
        "",
        soft="softfx.runtime.distributions.weighted",
        propagate=_isin,
        options=(),
    ),
)


_BY_SYMBOL = {rule.operation.python.symbol: rule for rule in RULES if rule.operation.python is not None}
_EXCHANGED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
# What Python calls for a comparison whose operands it exchanges, told under the name that stands on the line.
_WRITTEN = {
    (called.name, symbol): replace(called, code=_BY_SYMBOL[symbol].code, operation=_BY_SYMBOL[symbol].operation)
    for symbol, exchanged in _EXCHANGED.items()
    for called in (_BY_SYMBOL[exchanged],)
}


def written_names(rule: Rule) -> frozenset[str]:
    """The names that `as_written` gives a rule.

    >>> from softfx.rules import RULES
    >>> sorted(written_names(RULES["gt"])), sorted(written_names(RULES["sort"]))
    (['gt', 'lt'], ['sort'])
    """
    return frozenset({rule.name, *(written.name for (name, _), written in _WRITTEN.items() if name == rule.name)})


def as_written(rule: Rule, symbol: str) -> Rule:
    """The rule of a comparison by its name on the line, where that has `symbol`; any other rule as it is.

    >>> from softfx.rules import RULES
    >>> as_written(RULES["gt"], "<").name, as_written(RULES["gt"], ">").name, as_written(RULES["sort"], "<").name
    ('lt', 'gt', 'sort')
    """
    return _WRITTEN.get((rule.name, symbol), rule) if symbol else rule
