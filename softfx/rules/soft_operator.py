"""Facts of a rule's soft operator, read from the operator's own signature so that no second place states them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import softtorch
from softfx.rules.rule import Rule

__all__ = ["chooses_indices", "default_of", "returns_indices_alone"]


def default_of(rule: Rule, option: str) -> object | None:
    """The value that the rule's soft operator gives an option by default, or None where it has none.

    >>> from softfx.rules import RULES
    >>> default_of(RULES["sort"], "method"), default_of(RULES["argmax"], "method")
    ('neuralsort', 'softsort')
    """
    parameter = _parameters(rule).get(option)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def chooses_indices(rule: Rule) -> bool:
    """Return True if an index is the only result of the operation, as for argmax, argsort and searchsorted.

    >>> from softfx.rules import RULES
    >>> [name for name, rule in RULES.items() if chooses_indices(rule)]
    ['argmax', 'argmin', 'argsort', 'searchsorted', 'bucketize']
    """
    operator = _operator(rule)
    return operator is not None and returns_indices_alone(operator)


def returns_indices_alone(operator: Callable[..., object]) -> bool:
    """Return True if a soft index is the only result of an operator of softtorch.

    Such an operator can return the logarithms of its probabilities and has no values whose gradient could be gated.
    """
    parameters = inspect.signature(operator).parameters
    return "return_log_probs" in parameters and "gated_grad" not in parameters


def _parameters(rule: Rule) -> Mapping[str, inspect.Parameter]:
    """The parameters of the rule's soft operator."""
    operator = _operator(rule)
    return {} if operator is None else inspect.signature(operator).parameters


def _operator(rule: Rule) -> Callable[..., object] | None:
    """The softtorch operator that the rule names, or None where it names another function or a text."""
    package, _, name = rule.soft.partition(".")
    operator: Callable[..., object] | None = getattr(softtorch, name, None) if package == "softtorch" else None
    return operator
