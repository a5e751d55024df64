"""`make_report`: the report of the sites of a call, as they are decided at the moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from softfx.capture.program import Seen
from softfx.decisions.evidence import Evidence
from softfx.decisions.site import Decision
from softfx.decisions.sites import Sites
from softfx.locations import source_line
from softfx.report import Report
from softfx.report.build_control import control_lines, seen_of
from softfx.report.build_exchanges import exchange_lines
from softfx.report.record import BESIDE_INFINITIES, Break, Consumer, Site

__all__ = ["make_report"]


def make_report(name: str, seen: Seen, sites: Sites, evidence: Evidence, executor: str) -> Report:
    """The report of a call that was captured as `seen` says, with the decisions that its sites have now."""
    return Report(
        target=name,
        frontend=seen.frontend,
        why_frontend=seen.why,
        graphs=seen.graphs,
        breaks=list(seen.breaks),
        executor=executor,
        static=sum(key not in sites for key in evidence.static),
        sites=[_site(decision, evidence) for decision in sites],
        starved=list(seen.unreached),
        cuts=[*(Break(*cut) for cut in evidence.cuts), *_beside_infinities(sites, evidence)],
        policy=sites.policy.name,
        upstream={name: list(found) for name, found in seen.upstream.items()},
        gained=None if seen.gained is None else list(seen.gained),
        not_tried=seen.not_tried,
        control=[*control_lines(sites, evidence), *exchange_lines(sites, evidence)],
    )


def _beside_infinities(sites: Sites, evidence: Evidence) -> Iterator[Break]:
    """The products whose derivative is another one than the original's, if any site is acted on."""
    if sites.acts:
        for file, line, name in sorted({(place.file, place.line, name) for name, place in evidence.infinite_products}):
            yield Break(f"{name} {BESIDE_INFINITIES}", file, line)


def _site(record: Decision, evidence: Evidence) -> Site:
    options = record.resolved.options if record.acts else {}
    takes = record.rule.options
    return Site(
        id=record.id,
        code=record.rule.code,
        op=record.rule.name,
        module=record.location.module,
        file=record.location.file,
        line=record.location.line,
        source=source_line(record.location.file, record.location.line),
        family=record.rule.family,
        action=record.action,
        mode=options.get("mode", "smooth") if record.acts and "mode" in takes else None,
        method=_method(options, takes) if record.acts else None,
        softness=_number(record.softness) if record.acts and "softness" in takes else None,
        region=evidence.region(record.id) if record.acts else None,
        decided_by=record.resolved.decided_by,
        reason="; ".join(filter(None, _said(record, evidence))),
        consumers=[Consumer(*use) for use in evidence.of(record.id).uses],
        estimator=record.estimator,
        unit=record.unit if record.acts else "",
        standardize=options.get("standardize") if "standardize" in takes else None,
        scope=record.scope if record.acts and record.scope != "region" else None,
    )


def _reason(record: Decision) -> str:
    """The reason, what the softness is made of, and the function on the line where the operation is a step of it."""
    within = record.location.within
    step = within and within not in (record.rule.name, *record.rule.aliases)
    unit = record.unit if record.acts and "softness" in record.rule.options else ""
    return "; ".join(filter(None, (f"a step of {within}" if step else "", record.reason, unit)))


def _said(record: Decision, evidence: Evidence) -> tuple[str, ...]:
    """What an acting site is a part of, why it is decided so, and what else a reader should know."""
    idioms = evidence.of(record.id).idioms if record.acts else ()
    return (*idioms, seen_of(record, evidence) or _reason(record), _of_two(record, evidence))


def _of_two(record: Decision, evidence: Evidence) -> str:
    """What is said of an order of two standardized entries."""
    if not record.acts or not evidence.of(record.id).of_two:
        return ""
    return "of two entries, standardized, how far apart they are does not count: standardize = false lets it"


def _method(options: Mapping[str, object], takes: tuple[str, ...]) -> str | None:
    return str(options["method"]) if "method" in takes and "method" in options else None


def _number(softness: Tensor | float) -> float:
    return float(softness.detach().float().mean()) if isinstance(softness, Tensor) else float(softness)
