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
from typing import TypeVar

from softfx.errors import TargetError
from softfx.report import Report
from softfx.report.record import Break, Site

__all__ = ["read_baseline", "since"]

Item = TypeVar("Item")


def read_baseline(path: str) -> Report:
    """The report that `softfx check --format json` wrote to `path`."""
    try:
        return Report.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is no report ({type(error).__name__}: {error})"
        raise TargetError(
            f"--baseline {path}: {reason}. It is what softfx check --format json writes. "
            f"Write one: softfx check TARGET --format json > {path}"
        ) from error


def since(report: Report, baseline: Report) -> Report:
    """The report without the sites, breaks and unreached names that `baseline` has with the same decision."""
    return replace(
        report,
        sites=_new(report.sites, baseline.sites, _site),
        breaks=_new(report.breaks, baseline.breaks, _break),
        starved=_new(report.starved, baseline.starved, str),
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
