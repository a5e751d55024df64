"""The audit of each site: the gradient that its operands get, and what the original answers where they are moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from softfx.auditing.agreement import agreement
from softfx.auditing.bench import Met, SiteBench
from softfx.auditing.report import Audited, AuditedSite, measured, named
from softfx.auditing.trials import softened_by, with_decisions
from softfx.auditing.verdicts import NO_DATA, SUGGESTIONS
from softfx.decisions.site import Decision, SiteKey
from softfx.ops.spelling import READ_BY, SPOKEN
from softfx.report import Report
from softfx.report.entry import changes_of
from softfx.report.record import Site
from softfx.rules import RULES

__all__ = ["audited_sites"]

_FACTORS = (0.25, 4.0, 32.0)  # of the softness, tried where the gradient is no good
_CLEARLY = 0.1  # more of the cosine: then another softness is suggested
# What a report calls the operations by which Python reads a value.
_READERS = frozenset(READ_BY.values()) | {
    SPOKEN.get(rule.operation, rule.name) for rule in RULES.values() if rule.barrier in ("branch", "number")
}
_WHOLE_NUMBERS = "its operands are whole numbers: judged by the sites that they come from"
_OF_ONE = "its operands are made of one decision, to which the derivative goes at once: judged by the site of that"
_TURNED = "its derivative comes of runs with a decision turned round: judged by the parameters"


def audited_sites(
    bench: SiteBench, report: Report, met: Mapping[SiteKey, Met], pairs: int, seed: int, tick: Callable[[], None]
) -> tuple[AuditedSite, ...]:
    """The verdict on each site, in the report's order.

    met: the sites to be measured.
    pairs: in each block of a reference.
    """
    moved = {key: own for key, own in met.items() if len(own.flat)}
    before, after = bench.hard_gradients(moved), bench.gradients(moved)
    gaps = _gaps(bench)
    found = []
    for decision, site in zip(bench.eager.sites, report.sites, strict=True):
        own = moved.get(decision.key)
        if own is None:
            if decision.key in met:
                found.append(_unmeasured(site, _WHOLE_NUMBERS))
            continue
        if (decision.rule.name, decision.location) in bench.eager.evidence.pointwise:
            found.append(_unmeasured(site, _OF_ONE))
            continue
        reference = bench.reference(decision.key, own, pairs, seed, tick)
        blocks = reference.blocks
        draws = after[decision.key]
        each = measured(named(site), before[decision.key], draws, own.flat, blocks, own.margins, reference.size)
        tried: dict[float, float] = {}
        if bench.eager.sites.policy.turns and each.verdict != "good":
            each = replace(each, verdict="cannot_tell", suggestion=_TURNED)
        elif each.verdict not in ("good", "cannot_tell"):
            tried = _tried(bench, decision, own, blocks) if decision.acts else {}
            each = replace(each, suggestion=_suggestion(each, site, decision, own, tried))
        found.append(_of_site(each, site, own, gaps.get(decision.id), tried))
    return tuple(found)


def _of_site(each: Audited, site: Site, met: Met, gap: float | None, tried: Mapping[float, float]) -> AuditedSite:
    margins = sorted(met.margins)
    return AuditedSite(
        **vars(each), site=site, margins=tuple(margins[:: -(-len(margins) // 200) or 1]), gap=gap,
        tried=tuple(tried.items()),
    )  # fmt: skip


def _unmeasured(site: Site, suggestion: str) -> AuditedSite:
    nothing = (0.0, 0.0, 1.0, 1.0, None, 0.0, None, None, None, None, None, None, None)
    return AuditedSite(named(site), "cannot_tell", suggestion, *nothing, site, (), None, ())


def _gaps(bench: SiteBench) -> dict[int, float]:
    """What the gap between the softened loss and the original's loses where one soft site is hard."""
    softs = [decision for decision in bench.eager.sites if decision.action == "soft"]
    if not softs:
        return {}
    whole = bench.losses(bench.eager)
    return {
        decision.id: whole - bench.losses(with_decisions(bench.eager, [decision.kept("it is tried hard")]))
        for decision in softs
    }


def _tried(bench: SiteBench, decision: Decision, met: Met, blocks: Tensor) -> dict[float, float]:
    """The cosine that other softnesses of the site would have, by the factor; the gradient is compared as it is."""
    found = {}
    for factor in _FACTORS:
        eager = with_decisions(bench.eager, [softened_by(decision, factor)])
        draws = bench.gradients({decision.key: met}, eager)[decision.key]
        agreed = agreement(draws.mean(0) * met.flat, blocks)
        if agreed.cosine is not None:
            found[factor] = round(agreed.cosine, 4)
    return found


def _suggestion(each: Audited, site: Site, decision: Decision, met: Met, tried: Mapping[float, float]) -> str:
    """One thing to do about a site whose gradient is no good, by what was measured of it."""
    if not decision.acts:
        return _for_hard(site, decision)
    factor = max(tried, key=lambda factor: tried[factor], default=1.0)
    if tried and tried[factor] > max(each.cosine or 0.0, 0.0) + _CLEARLY:
        change = "softer" if factor > 1 else "harder"
        return f"{change}: {factor:g} times the softness has cosine {tried[factor]:.2f}"
    if each.verdict == "noisy" and (each.noise is None or each.noise > 1):
        return "other estimator: its draws differ by more than what they have in common"
    if each.verdict == "opposed":
        return "keep hard: the gradient leads the wrong way at other softnesses, too"
    if each.verdict == "noisy":
        return "other estimator or method: no other softness does better"
    if met.margins and (min(met.margins) > 0 or max(met.margins) < 0):
        return NO_DATA
    return SUGGESTIONS[each.verdict]


def _for_hard(site: Site, decision: Decision) -> str:
    """What to do about a site that stays hard though the program responds to it."""
    if any(use.takes == "hard" and use.op in _READERS for use in site.consumers):
        return 'turn this branch: op = "@control", action = "straight_through"'
    if any(f"{setting} = true" in decision.reason for setting in ("lift_no_grad", "lift_detach")):
        return f"lift: {decision.reason}"
    if decision.action == "blocked":
        return f"rewrite what uses it: {decision.reason}"
    if not changes_of(site):
        return f"no policy entry changes it: {decision.reason}"
    return f'soften it: op = "{site.op}", action = "straight_through"'
