"""The findings of a report that an earlier report, the baseline, does not have.

Code that has findings already can so be kept from getting more. A site is recognised by its operation, module, file
and source text, not by its line number, for lines move.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from softfx.errors import TargetError
from softfx.report import Report
from softfx.report.record import Break, Site

__all__ = ["read_baseline", "read_baselines", "since"]

Item = TypeVar("Item")
Read = TypeVar("Read")


def read_baseline(path: str) -> Report:
    """The report that `softfx check --format json` wrote to `path`."""
    return _read(path, _report)


def read_baselines(path: str) -> dict[str, Report]:
    """The reports of a project's targets, by name, that `softfx check --format json` wrote to `path`."""
    return _read(
        path,
        lambda data: {
            str(item["name"]): _report(item["report"]) for item in data["targets"] if item["report"] is not None
        },
    )


def _report(data: Any) -> Report:
    report = Report.from_dict(data)
    _check(report)
    return report


def _read(path: str, made: Callable[[Any], Read]) -> Read:
    try:
        if not Path(path).is_file():
            raise FileNotFoundError(0, "No such file, or no ordinary one")
        return made(json.loads(Path(path).read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TargetError(
            f"--baseline {path}: {_reason(error)}. It is what softfx check --format json writes. "
            f"Write one: softfx check TARGET --format json > {path}"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, KeyError):
        return f"it is no report, or a damaged one: it has no {error}"
    if isinstance(error, RecursionError):
        return "it is no report: it is nested too deeply"
    return f"it is no report, or a damaged one: {error}"


def _check(report: Report) -> None:
    """Raise a TypeError for a text, or a number of a line, that is none."""
    texts = [report.target, *report.starved]
    lines: list[object] = []
    for site in report.sites:
        texts += [site.code, site.op, site.module, site.file, site.source, site.action]
        lines.append(site.line)
    for item in (*report.breaks, *report.cuts):
        texts += [item.reason, item.file]
        lines.append(item.line)
    for value, kind in (*((text, str) for text in texts), *((line, int) for line in lines)):
        if type(value) is not kind:
            raise TypeError(f"{type(value).__name__} stands where {kind.__name__} is due")


def since(report: Report, baseline: Report) -> Report:
    """The report without the sites, breaks and unreached names that `baseline` has with the same decision."""
    sites = _new(report.sites, baseline.sites, _site)
    return replace(
        report,
        sites=sites,
        breaks=_new(report.breaks, baseline.breaks, _break),
        starved=_new(report.starved, baseline.starved, str),
        cuts=_new(report.cuts, baseline.cuts, _break),
        known=len(report.sites) - len(sites),
    )


def _new(now: Iterable[Item], before: Iterable[Item], key: Callable[[Item], object]) -> list[Item]:
    """The items of `now` that `before` does not have; for two equal ones it needs to have two."""
    known = Counter(map(key, before))
    found = []
    for item in now:
        known[key(item)] -= 1
        if known[key(item)] < 0:
            found.append(item)
    return found


def _site(site: Site) -> object:
    return site.code, site.op, site.module, Path(site.file).name, site.source.strip(), site.action


def _break(item: Break) -> object:
    return item.reason, Path(item.file).name
