"""The report as SARIF 2.1.0, which code hosts and editors show beside the source. Every rule is declared."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from softfx.report.record import ReportData, Site, SiteAction
from softfx.report.shown import json_text, shown
from softfx.report.words import ACTION_WORDS, settings
from softfx.rules import RULES
from softfx.visible import visible
from softtorch.version import installed_version

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
    if number := installed_version():
        driver["version"] = number
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(site, index) for site in report.sites],
        "properties": {"target": visible(report.target), "counts": report.counts},
    }
    return json_text({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _result(site: Site, index: dict[str, int]) -> dict[str, object]:
    uri, site = _uri(site.file), shown(site)
    region: dict[str, object] = {"startLine": max(site.line, 1)}
    if site.source:
        region["snippet"] = {"text": site.source}
    location: dict[str, object] = {
        "physicalLocation": {"artifactLocation": {"uri": uri}, "region": region},
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
        "message": {"text": _message("; ".join(part for part in parts if part))},
        "locations": [location],
        "properties": {"action": site.action, "family": site.family, "decided_by": site.decided_by},
    }
    if site.code in index:
        result["ruleIndex"] = index[site.code]
    return result


def _uri(file: str) -> str:
    """The URI of a file, relative where it is below the current folder, so that a code host can find it."""
    path, here = Path(file), Path.cwd()
    if path.is_absolute() and path.is_relative_to(here):
        path = path.relative_to(here)
    try:
        encoded = quote(os.fsencode(path.as_posix()))
    except UnicodeEncodeError:  # a name that no file can have
        encoded = quote(visible(path.as_posix()))
    return f"file://{encoded}" if path.is_absolute() else encoded


def _message(text: str) -> str:
    """The text as a message of SARIF, in which `[text](address)` would be a link."""
    return text.replace("](", "] (")
