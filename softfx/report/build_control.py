"""What a report says of control flow: each site's share, the cost of a step, and what limits the derivative."""

from __future__ import annotations

from softfx.control.blend import BLEND
from softfx.control.settings import Settings
from softfx.decisions.evidence import Evidence
from softfx.decisions.site import Decision
from softfx.decisions.sites import Sites
from softfx.locations import short_path
from softfx.report.words import plural

__all__ = ["control_lines", "seen_of"]


def seen_of(record: Decision, evidence: Evidence) -> str:
    """What runs saw of a control site that acts; nothing for another one."""
    if record.rule.family != "control" or not record.acts:
        return ""
    seen, total = evidence.control.of(record.id), sum(site.share for site in evidence.control.sites.values())
    parts = [f"softness in units of the spread, {evidence.control.spreads.of(record.id):.3g}"]
    if seen.met:
        between = f", p from {seen.least:.2g} to {seen.most:.2g}" if seen.least <= seen.most else ""
        parts.append(f"met {plural(seen.met, 'time')}{between}; {plural(seen.made, 'turn')}")
    if total > 0.0:
        parts.append(f"{100 * seen.share / total:.0f} % of the gradient of control flow")
    where = f"{short_path(record.location.file)}:{record.location.line}"
    parts += [
        f"turn of {where} dropped {times} of {plural(seen.made, 'time')}: {reason}"
        for reason, times in seen.dropped.items()
    ]
    parts += [f"{times} of what it read had no probability: {why}" for why, times in seen.unknown.items()]
    return "; ".join(parts)


def control_lines(sites: Sites, evidence: Evidence) -> list[str]:
    """The sentences about control flow."""
    acting = [decision for decision in sites if decision.rule.family == "control" and decision.acts]
    settings = Settings.of(sites) if acting else Settings()
    if not acting:
        if not evidence.control.reads or sites.policy.turns or not sites.policy.can_act:
            return []
        return [
            'Branches and numbers that Python reads are kept unless named: op = "@control" in a [[rule]], for '
            f"about {settings.passes} forward passes a step."
        ]
    lines = [f"Control flow takes about {settings.passes} forward passes a step ({_counts(settings)})."]
    if settings.samples == 0 and not settings.exact:
        lines.append("With samples = 0 later decisions go as the program has them: its derivative is biased.")
    else:
        others = sum(d.acts and d.rule.family != "control" and d.action != "guard" for d in sites)
        beside = f", but for {plural(others, 'other site')} that are straight-through" if others else ""
        lines.append(
            f"The derivative of the mean of floating-point results is unbiased{beside}. A loss behind the call that "
            "bends is linearised: put it inside of what is softened."
        )
    if any(decision.resolved.scope == "module" for decision in acting):
        lines.append(
            'With scope = "module" a module is run again alone, which takes less than that, and its derivative is '
            "biased where anything that bends follows it."
        )
    if any(decision.resolved.estimator == BLEND for decision in acting):
        lines.append("A blended torch.cond is biased where anything that bends follows it.")
    seen = evidence.control
    dropped = sum(sum(site.dropped.values()) for site in seen.sites.values())
    if dropped:
        lines.append(f"{plural(dropped, 'turn')} had no result: what they would have said is missing.")
    for reason, times in seen.replaced.items():
        lines.append(f"{times} of {seen.drawn} drawn paths were replaced by the program's own: {reason}.")
    return [*lines, *(f"{note[:1].upper()}{note[1:]}." for note in seen.notes)]


def _counts(settings: Settings) -> str:
    return f"samples = {settings.samples}, turns = {settings.turns}" + (
        f", exact = {settings.exact}" if settings.exact else ""
    )
