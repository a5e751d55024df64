"""From decided sites to the report that is handed out."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from softfx.capture.program import Seen
from softfx.decisions.sites import SiteRecord, Sites
from softfx.locations import source_line
from softfx.report.record import Report, Site

__all__ = ["make_report"]


def make_report(name: str, seen: Seen, sites: Sites, executor: str) -> Report:
    """The report of the sites of a call so seen as they stand now."""
    return Report(
        target=name,
        frontend=seen.frontend,
        why_frontend=seen.why,
        graphs=seen.graphs,
        breaks=list(seen.breaks),
        executor=executor,
        static=len(sites.static),
        sites=[_site(record, sites) for record in sites],
        starved=list(seen.starved),
    )


def _site(record: SiteRecord, sites: Sites) -> Site:
    options = record.resolved.options if record.acts else {}
    takes = record.rule.options
    return Site(
        id=record.id,
        code=record.rule.code,
        op=record.rule.op,
        module=record.location.module,
        file=record.location.file,
        line=record.location.line,
        source=source_line(record.location.file, record.location.line),
        family=record.rule.family,
        action=record.action,
        mode=options.get("mode", "smooth") if record.acts and "mode" in takes else None,
        method=_method(options, takes) if record.acts else None,
        softness=_number(record.softness) if record.acts and "softness" in takes else None,
        region=sites.region(record.id) if record.acts else None,
        decided_by=record.resolved.decided_by,
        reason=record.reason,
        consumers=list(record.consumers.values()),
        estimator=record.resolved.estimator if record.action == "straight_through" else None,
    )


def _method(options: Any, takes: tuple[str, ...]) -> str | None:
    return str(options["method"]) if "method" in takes and "method" in options else None


def _number(softness: Any) -> float:
    return float(softness.detach()) if isinstance(softness, Tensor) and softness.numel() == 1 else float(softness)
