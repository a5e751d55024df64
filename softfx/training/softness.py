"""Changing the softness of sites that are already softened, without capturing again."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from softfx.decisions.sites import SiteRecord
from softfx.errors import PolicyError, did_you_mean
from softfx.pipeline.softened import softened

__all__ = ["set_softness"]


def set_softness(soft: Any, softness: Any) -> None:
    """Set the softness of every site, or of those a pattern names.

    Args:
        soft: what `soften` returned.
        softness: a number, a 0-dim tensor or a Parameter; or a dict from patterns to these. A pattern is an
            operation's name, a rule's code, "@family", or a glob on the module path; later ones override.

    Raises:
        PolicyError: a pattern that no site matches.

    >>> import torch, softfx
    >>> soft = softfx.soften(torch.sign, "smooth", example_inputs=(torch.zeros(3),))
    >>> softfx.set_softness(soft, {"sign": 0.5})
    >>> soft.report.sites[0].softness
    0.5
    """
    state = softened(soft, "set_softness")
    patterns = softness if isinstance(softness, Mapping) else {"*": softness}
    for pattern, value in patterns.items():
        if isinstance(value, int | float) and not value > 0:
            raise PolicyError(f"set_softness: {value!r} for {pattern!r}. A softness is a number above 0. Give one.")
        matched = [record for record in state.sites if _matches(record, pattern)]
        if not matched and pattern != "*":
            known = {name for record in state.sites for name in (record.rule.op, record.location.module)}
            raise PolicyError(
                f"set_softness: no site matches {pattern!r}.{did_you_mean(pattern, known)} "
                "A pattern is an operation, a code, @family or a glob on the module path. See soft.report."
            )
        for record in matched:
            record.softness = value


def _matches(record: SiteRecord, pattern: str) -> bool:
    names = (record.rule.op, record.rule.code, "@" + record.rule.family)
    return pattern in names or fnmatch.fnmatchcase(record.location.module, pattern)
