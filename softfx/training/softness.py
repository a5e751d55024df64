"""`set_softness`: another softness for sites that are softened already, without another capture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from softfx.decisions.policy.schema import OPTIONS
from softfx.decisions.sites import Setting
from softfx.errors import PolicyError, brief, did_you_mean
from softfx.pipeline.softened import softened

__all__ = ["Softness", "is_softness", "measure_again", "set_softness"]

Softness = float | Tensor


def set_softness(soft: object, softness: Setting | Mapping[str, Setting]) -> None:
    """Set the softness of every site, or of those that a pattern names; also of those that later calls meet.

    Args:
        soft: the module or function that `soften` returned.
        softness: a number, a 0-dim tensor or a Parameter; or a dict from patterns to these. A pattern is an
            operation's name, a rule's code, "@family", or a glob on the module path; later ones override.
            {"relative": 0.02} is a softness in units of the data, as the spreads were measured, and "auto" that of
            the rule of thumb; where nothing was measured yet the next call is. Standardized rows have a unit of their
            own.

    Raises:
        PolicyError: a softness that is none, or a pattern that no site matches.

    >>> import torch, softfx
    >>> soft = softfx.soften(torch.sign, "smooth", example_inputs=(torch.zeros(3),))
    >>> softfx.set_softness(soft, {"sign": 0.5})
    >>> soft.report.sites[0].softness
    0.5
    """
    state = softened(soft, "set_softness")
    patterns: Mapping[str, Any] = {"*": softness}
    if isinstance(softness, Mapping) and not is_softness(softness):  # {"relative": 0.02} is one
        patterns = softness
    for pattern, value in patterns.items():
        if not is_softness(value):
            raise PolicyError(
                f"set_softness: {brief(value)} for {pattern!r}. A softness is a number above 0, or a tensor without "
                'axes; in units of the data {"relative": number} or "auto". Give one; a number lies between '
                "1e-18 and 1e18."
            )
        if not state.sites.assign(pattern, value) and pattern != "*":
            known = {name for decision in state.sites for name in (decision.rule.name, decision.location.module)}
            raise PolicyError(
                f"set_softness: no site matches {pattern!r}.{did_you_mean(pattern, known)} "
                "A pattern is an operation, a code, @family or a glob on the module path. See soft.report."
            )


def measure_again(soft: object) -> None:
    """Have the spreads of control sites measured again by the next call, unless the policy says remeasure = false."""
    state = softened(soft, "measure_again")
    control = (decision for decision in state.sites if decision.rule.family == "control" and decision.acts)
    wanted = {decision.id for decision in control if decision.resolved.options.get("remeasure", True)}
    if wanted:
        state.evidence.control.spreads.measure_again(wanted)


def is_softness(value: object) -> bool:
    """Return True for a number above 0, and for a 0-dim tensor of floating point, whose value may be learned."""
    if isinstance(value, Tensor):
        return value.dim() == 0 and value.is_floating_point()
    return OPTIONS["softness"].accepts(value)
