"""What a report says that an earlier one did not: for code that has findings already, and is to get no more.

A site is known by what it is and where it stands in the code, not by its line number: lines move.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from softfx.errors import TargetError
from softfx.report.record import Break, Report, Site

__all__ = ["read_baseline", "since"]

T = TypeVar("T")


def read_baseline(path: str) -> Report:
    """The report that `softfx check --format json` wrote to `path`."""
    try:
        return Report.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        told = error.strerror if isinstance(error, OSError) else f"it is no report ({type(error).__name__}: {error})"
        raise TargetError(
            f"--baseline {path}: {told}. It is what softfx check --format json writes. "
            f"Write one: softfx check TARGET --format json > {path}"
        ) from error


def since(report: Report, baseline: Report) -> Report:
    """`report` without the sites, breaks and starved names that `baseline` has, decided the same."""
    return replace(
        report,
        sites=_new(report.sites, baseline.sites, _site),
        breaks=_new(report.breaks, baseline.breaks, _break),
        starved=_new(report.starved, baseline.starved, str),
    )


def _new(now: Iterable[T], before: Iterable[T], key: Callable[[T], object]) -> list[T]:
    """Those of `now` that are not in `before`; two alike need two alike there."""
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
