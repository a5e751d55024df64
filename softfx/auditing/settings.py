"""The settings that calibration tries at a site: softnesses, modes, methods and estimators, one change at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from softfx.auditing.trials import softened_by, with_options
from softfx.decisions.policy.methods import METHOD_NAMES, misfit
from softfx.decisions.policy.schema import RELATIVE
from softfx.decisions.site import Decision
from softfx.rules.soft_operator import default_of

__all__ = ["SOFTNESSES", "START", "other_ways", "softnesses", "written"]

SOFTNESSES = (0.5, 2.0, 0.25, 4.0)  # times the one that a site starts from, the nearest first
START = "as it is"
_MODES = ("tailed", "smooth", "c1")
_OF_THRESHOLDS = ("tailed",)  # in an ordering it is another mode
# "auto" has chosen it for what is far from the decision now. What that is worth shows in training, not in a measure.
_REACHES = "tailed"


def softnesses(decision: Decision) -> Iterator[tuple[str, Decision]]:
    """The decision with other softnesses, each with the words for it."""
    if "softness" in decision.rule.options:
        for factor in SOFTNESSES:
            yield f"softness x {factor:g}", softened_by(decision, factor)


def other_ways(decision: Decision) -> Iterator[tuple[str, Decision]]:
    """The decision with another mode, method or estimator, each with the words for it."""
    options, rule, own = decision.resolved.options, decision.rule, decision.resolved.estimator
    mode = options.get("mode", "smooth")
    method = options.get("method", default_of(rule, "method"))
    if "mode" in rule.options:
        reaches = mode == _REACHES and decision.resolved.auto
        for name in () if reaches else _MODES:
            if name != mode and not misfit(rule, method, name) and (name not in _OF_THRESHOLDS or method is None):
                yield f"mode {name}", with_options(decision, {"mode": name}, own)
    if "method" in rule.options:
        for name in METHOD_NAMES:
            if name != method and not misfit(rule, name, mode):
                yield f"method {name}", with_options(decision, {"method": name}, own)
    if decision.action == "straight_through":
        for name, estimate in rule.estimators.items():
            made = with_options(decision, {}, name)
            if estimate is not None and name != own and not made.draws:  # what draws has other values
                yield f"estimator {name}", made


def written(decision: Decision) -> dict[str, Any]:
    """What a policy says to decide so about the site, whatever else it says."""
    options: Mapping[str, Any] = decision.resolved.options
    fields = {key: value for key, value in options.items() if key != "softness"}
    if "softness" in decision.rule.options:
        softness = decision.softness
        number = float(softness if isinstance(softness, float | int) else softness.detach().float().mean())
        fields["softness"] = number if decision.relative is None else {RELATIVE: decision.relative}
    if decision.scope != "region":
        fields["scope"] = decision.scope
    if decision.resolved.estimator is not None:
        fields["estimator"] = decision.resolved.estimator
    return fields
