"""The context that a rule's functions are given, for one call under a decision (see softfx.rules.context)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from torch import Tensor

import softtorch
from softfx.decisions.site import Decision
from softfx.interpreter.joint_decisions import Joins
from softfx.interpreter.state import RunState
from softfx.ops.calls import Function, Options, Result
from softfx.ops.integrality import is_whole_number
from softfx.rules.context import Beside
from softfx.rules.refusals import is_discrete
from softfx.rules.rule import Estimate
from softfx.torch_private import version_of
from softfx.values import SelectedRows, Soft, SoftBool, SoftCount, SoftIndex, ValueFacts

__all__ = ["CallContext", "counts_softly", "is_integral", "is_known_integral", "options_of"]

_Result = TypeVar("_Result")


def is_known_integral(tensor: Tensor, facts: ValueFacts) -> bool:
    """Return True if a tensor stands for integers by its dtype, its facts or its shadow."""
    return facts.integral or (facts.soft is not None and facts.soft.integral) or is_discrete(tensor)


def counts_softly(tensor: Tensor, facts: ValueFacts) -> bool:
    """Return True for a real tensor without a shadow that stands for integers: it is worth a count, its own shadow.

    It was made of masks and counts by an operation that has no rule, or is not worth making twice.
    """
    return facts.integral and facts.soft is None and facts.depends_on_source and tensor.is_floating_point()


def is_integral(state: RunState, tensor: Tensor) -> bool:
    """Return True if a tensor stands for integers, by its dtype, its facts or its shadow; a constant by its elements.

    Beside a mask a constant 0.0 and 1.0 is a mask, too, also one that the call was given. What requires a gradient is
    no constant.
    """
    facts = state.environment.facts(tensor)
    if is_known_integral(tensor, facts):
        return True
    if tensor.requires_grad:
        return False
    known, version = state.whole.get(tensor), version_of(tensor)
    if known is None or known[0] != version:
        known = version, state.backend.is_whole(tensor)
        state.whole.set(tensor, known)
    return known[1]


def options_of(state: RunState, decision: Decision | None) -> Options:
    """The options that the soft form of a call is given."""
    if decision is None:
        return {}
    if not decision.acts:  # a kept kink on a shadow: the corner itself
        return {"mode": "hard"}
    if "softness" not in decision.rule.options:
        return decision.options
    return {**decision.options, "softness": state.backend.softness(decision)}


@dataclass
class CallContext:
    """One call under a decision, as the functions of rules see it.

    exact: values stay as they are.
    sites: the sites that results come from.
    hard: the result of the original call.
    joined: the hard result with a derivative, where the rule has made that itself.
    carried: the sites whose derivative its real operands carry.
    moved: the hard result is the program's own tensor, made by its own call.
    stepped: in the original results are made of choices, counts or clipped numbers.
    unbounded: of the facts of results.
    joins: the decisions that the call makes one of, while they are counted.
    met_nan: it has met infinities or NaN.
    beside: it compares rows with an order statistic of their own.
    ends: the real shadows that run as far as calls are linear end at it.
    """

    state: RunState
    func: Function
    options: Options
    exact: bool
    sites: frozenset[int]
    hard: Result = None
    estimate: Estimate | None = None
    joined: Tensor | None = None
    carried: frozenset[int] = frozenset()
    moved: bool = False
    stepped: bool = False
    unbounded: int = 0
    joins: Joins | None = None
    met_nan: bool = False
    beside: Beside | None = None
    ends: bool = False

    @property
    def reaches(self) -> bool:
        decisions = (self.state.sites[site] for site in self.sites)
        return self.exact and any(decision.options.get("mode") == "tailed" for decision in decisions)

    @property
    def meets_nan(self) -> bool:
        return self.met_nan or not self.exact

    def is_integral(self, operand: Any, by_elements: bool = True) -> bool:
        if isinstance(operand, Soft):
            return operand.integral
        if isinstance(operand, Tensor):
            known = is_known_integral(operand, self.state.environment.facts(operand))
            return known or (by_elements and is_integral(self.state, operand))
        return is_whole_number(operand)

    def is_source(self, operand: Tensor) -> bool:
        return operand.requires_grad or self.state.environment.facts(operand).depends_on_source

    def fill(self, operand: Tensor) -> float | None:
        return self.state.environment.facts(operand).fill

    def recognise(self, idiom: str) -> None:
        if self.state.planning:
            for site in self.sites:
                self.state.evidence.of(site).idioms[idiom] = None

    def with_hard(self, hard: Result) -> CallContext:
        return replace(self, hard=hard)

    def call(self, function: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
        result: _Result = self.state.backend.emit(function, args, kwargs)
        if function is softtorch.straight_through and args[0] is self.hard and isinstance(result, Tensor):
            self.joined = result
        return result

    def soft_bool(self, probability: Tensor) -> SoftBool:
        return SoftBool(probability, joint=self._joint(probability), exact=self.exact, sites=self.sites)

    def soft_count(self, value: Tensor) -> SoftCount:
        return SoftCount(value, joint=self._joint(value), exact=self.exact, sites=self.sites)

    def _joint(self, result: Tensor) -> int:
        """How many decisions there are in one element of the result, which is noted where there are several."""
        joint = 1 if self.joins is None else self.joins.into(result)
        if joint > 1:
            self.state.evidence.joined(self.sites, joint)
        return joint

    def soft_index(self, weights: Tensor, support: Tensor | None = None, *, distinct: int | None = None) -> SoftIndex:
        return SoftIndex(weights, support, distinct, exact=self.exact, sites=self.sites)

    def selected_rows(self, rows: Tensor, probabilities: Tensor, mask: Tensor) -> SelectedRows:
        return SelectedRows(rows, probabilities, mask, exact=self.exact, sites=self.sites)

    def like(self, soft: Soft, tensor: Tensor) -> Soft:
        return replace(soft.with_tensor(tensor), exact=self.exact, sites=self.sites)
