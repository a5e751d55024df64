"""The report as SARIF 2.1.0, which code hosts and editors show beside the source. Every rule is declared."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from softfx.report.record import ReportData, Site, SiteAction
from softfx.report.words import ACTION_WORDS, settings
from softfx.rules import RULES

__all__ = ["report_sarif"]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
# A blocked site was to be softened and cannot be; at a kept one a gradient stays cut; the others are dealt with.
_LEVELS: dict[SiteAction, str] = {
    "blocked": "error",
    "keep": "warning",
    "soft": "note",
    "straight_through": "note",
    "guard": "note",
}


def report_sarif(report: ReportData) -> str:
    """The whole report as SARIF, without a newline at the end."""
    rules = sorted(RULES.values(), key=lambda rule: rule.code)
    index = {rule.code: place for place, rule in enumerate(rules)}
    driver: dict[str, object] = {
        "name": "softfx",
        "rules": [
            {
                "id": rule.code,
                "name": rule.name,
                "shortDescription": {"text": f"{rule.name} ({rule.family})"},
                "fullDescription": {"text": rule.why},
                "help": {"text": rule.keep or rule.why},
                "defaultConfiguration": {"level": "warning"},
                "properties": {"family": rule.family},
            }
            for rule in rules
        ],
    }
    if number := _version():
        driver["version"] = number
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(site, index) for site in report.sites],
        "properties": {"target": report.target, "counts": report.counts},
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(site: Site, index: dict[str, int]) -> dict[str, object]:
    region: dict[str, object] = {"startLine": max(site.line, 1)}
    if site.source:
        region["snippet"] = {"text": site.source}
    location: dict[str, object] = {
        "physicalLocation": {"artifactLocation": {"uri": _uri(site.file)}, "region": region},
    }
    if site.module:
        location["logicalLocations"] = [{"fullyQualifiedName": site.module, "kind": "module"}]
    parts = (
        f"{site.op}: {ACTION_WORDS[site.action]}",
        settings(site),
        site.reason,
        f"decided by {site.decided_by}",
    )
    result: dict[str, object] = {
        "ruleId": site.code,
        "level": _LEVELS[site.action],
        "message": {"text": "; ".join(part for part in parts if part)},
        "locations": [location],
        "properties": {"action": site.action, "family": site.family, "decided_by": site.decided_by},
    }
    if site.code in index:
        result["ruleIndex"] = index[site.code]
    return result


def _uri(file: str) -> str:
    """The URI of a file, relative where it is below the current folder, so that a code host can find it."""
    path = Path(file)
    if path.is_absolute():
        here = Path.cwd()
        return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_uri()
    return path.as_posix()


def _version() -> str:
    try:
        return version("softfx")
    except PackageNotFoundError:
        return ""
