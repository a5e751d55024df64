"""What a report says of further runs with exchanged choices: what they cost, and where there are none."""

from __future__ import annotations

from softfx.decisions.evidence import Evidence
from softfx.decisions.sites import Sites

__all__ = ["exchange_lines"]


def exchange_lines(sites: Sites, evidence: Evidence) -> list[str]:
    """The sentences about choices that are exchanged."""
    lines = []
    if sites.exchanges:
        lines.append(
            "Exchanged choices take 2 forward passes a step, and the memory of both: in the second, what was not "
            'chosen learns of its own loss. estimator = "soft" in a [[rule]] of the choice does without. '
            "Compiled calls and torch.func transforms have the first alone."
        )
    return [*lines, *(f"{note[:1].upper()}{note[1:]}." for note in evidence.exchanges)]
