"""Other settings for a site, tried in a run of their own: the decisions of the softened target stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from softfx.decisions.site import Decision
from softfx.interpreter.fast_path import FastPathCache
from softfx.pipeline.execute import Eager

__all__ = ["softened_by", "with_decisions", "with_options"]


def with_decisions(eager: Eager, changed: Iterable[Decision]) -> Eager:
    """An executor of its own with these decisions in the place of those about the same sites."""
    return replace(eager, sites=eager.sites.copied(changed), evidence=deepcopy(eager.evidence), cache=FastPathCache())


def softened_by(decision: Decision, factor: float) -> Decision:
    """The decision with so many times the softness."""
    if decision.relative is not None:
        return decision.with_relative(decision.relative * factor)
    return decision.with_softness(decision.softness * factor)


def with_options(decision: Decision, options: Mapping[str, Any], estimator: str | None) -> Decision:
    """The decision with other options of its soft form, and another estimator."""
    resolved = replace(decision.resolved, options={**decision.resolved.options, **options}, estimator=estimator)
    return replace(decision, resolved=resolved)
