"""The data of the page: a report's JSON arranged by files, functions and lines, every text ready to be shown.

Texts are made visible here and escaped as HTML by the templates; nothing here is markup. A site may have the key
"measured", an object with any of before, after (norms of the gradient that it passes), agreement, interval (two
numbers), margins (numbers in softnesses), gap, verdict and suggestion; what is not there is not shown. The same is
shown of the objects in "parameters", which have a name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import Any

from softfx.locations import short_path, shown_place
from softfx.report.entry import entry_for
from softfx.report.page.listing import Function, clipped, functions, marked
from softfx.report.page.measured import Measured, Seen, measured_of
from softfx.report.record import ACTIONS, Break, ReportData, Site, SiteAction
from softfx.report.shown import shown
from softfx.report.words import (
    ACTION_WORDS,
    Group,
    by_file,
    capture_lines,
    counts_line,
    explanations,
    hints,
    settings,
    starved_lines,
    turned_lines,
)
from softfx.visible import visible

__all__ = ["Entry", "File", "Place", "View", "report_of", "view"]

# What decides between a hard choice and none: their derivative is zero or missing wherever they stand.
_CUTTING = ("discrete", "random")
# The most telling decision of a line is the colour of its gutter.
_FIRST: tuple[SiteAction, ...] = ("blocked", "keep", "soft", "straight_through", "guard")


@dataclass(frozen=True)
class Use:
    """An operation that uses a site's value, and the anchor of its line where the page shows that."""

    op: str
    place: str
    anchor: str
    takes: str


@dataclass(frozen=True)
class Entry:
    """Sites with one place, one operation and one decision, as the page shows them."""

    number: int
    anchor: str
    group: Group
    place: str
    words: str
    uses: tuple[Use, ...]
    rule: str
    measured: tuple[Measured, ...]

    @property
    def site(self) -> Site:
        return self.group.first

    @property
    def seen(self) -> Seen | None:
        """What was measured of its sites together, for a table that has one row for them."""
        return Seen.of(self.measured) if self.measured else None

    @property
    def filters(self) -> dict[str, object]:
        """What the filters of the page look at."""
        site = self.site
        said = (self.place, site.source, site.decided_by, *self.group.reasons)
        parts = (site.code, site.op, *said, *self.group.modules)
        modules = self.group.modules
        return {"action": site.action, "family": site.family, "modules": modules, "text": " ".join(parts).lower()}


@dataclass(frozen=True)
class Place:
    """A line of source that the report speaks of."""

    number: int
    anchor: str
    pieces: tuple[tuple[str, bool], ...]
    entries: tuple[Entry, ...]
    notes: tuple[tuple[str, str], ...] = ()  # (break or cut, reason)

    @property
    def decision(self) -> str:
        """The decision that colours the gutter; of a line without a site, the kind of note."""
        actions = {entry.site.action for entry in self.entries}
        return next((action for action in _FIRST if action in actions), self.notes[0][0] if self.notes else "")


@dataclass(frozen=True)
class File:
    """A file of the report: its counts, and the functions that hold its lines."""

    name: str
    anchor: str
    functions: tuple[Function, ...]
    places: Mapping[int, Place]
    counts: Mapping[SiteAction, int]
    cutting: int
    still: int


@dataclass(frozen=True)
class View:
    """The whole report as the page shows it."""

    report: ReportData
    files: tuple[File, ...]
    entries: tuple[Entry, ...]
    starved: tuple[tuple[str, str, tuple[Entry, ...]], ...]
    measures: bool = False
    parameters: tuple[Measured, ...] = ()
    capture: tuple[str, ...] = ()
    counts: str = ""
    hints: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    explained: tuple[tuple[str, str, str], ...] = ()
    words: Mapping[SiteAction, str] = field(default_factory=lambda: ACTION_WORDS)

    @property
    def bar(self) -> list[tuple[SiteAction, int, float, float]]:
        """The decisions as (action, count, begin, width) of a bar that is 100 wide."""
        counts, start = self.report.counts, 0.0
        bars: list[tuple[SiteAction, int, float, float]] = []
        for action in ACTIONS:
            if counts[action]:
                width = 100 * counts[action] / counts["found"]
                bars.append((action, counts[action], start, width))
                start += width
        return bars


def report_of(data: Mapping[str, Any]) -> ReportData:
    """The report that `data` holds; what a page may show beside it is left aside."""
    known = {item.name for item in fields(Site)}
    sites = [{key: value for key, value in site.items() if key in known} for site in data["sites"]]
    return ReportData.from_dict({**data, "sites": sites})


def view(data: Mapping[str, Any]) -> View:
    """The page's view of what `Report.to_dict` returned."""
    raw = report_of(data)
    report = shown(raw)
    measured = {site["id"]: site["measured"] for site in data["sites"] if site.get("measured")}
    notes: list[tuple[str, Break]] = [("break", item) for item in report.breaks]
    notes += [("cut", item) for item in report.cuts]
    groups = by_file(report.sites)
    names = list(dict.fromkeys((*groups, *(item.file for _, item in notes))))
    anchors = _anchors(names)
    lines = {(site.file, site.line) for site in report.sites} | {(item.file, item.line) for _, item in notes}
    users = {(use.file, use.line) for site in report.sites for use in site.consumers if use.file in anchors}
    lines |= users
    real = [site.file for site in raw.sites] + [item.file for item in (*raw.breaks, *raw.cuts)]
    paths = {visible(file): file for file in real}

    def anchor(file: str, line: int) -> str:
        return f"{anchors[file]}-{line}" if (file, line) in lines else ""

    rules = _rules(groups, {site.id: site for site in raw.sites})
    entries = {name: [_entry(group, anchor, rules, measured) for group in groups.get(name, ())] for name in names}
    found = tuple(entry for name in names for entry in entries[name])
    files = [
        _file(
            name,
            paths[name],
            anchors[name],
            entries[name],
            [note for note in notes if note[1].file == name],
            {line: "" for file, line in sorted(users) if file == name},
        )
        for name in names
    ]
    return View(
        report,
        tuple(sorted(files, key=lambda file: (-file.still, -file.cutting, -sum(file.counts.values())))),
        found,
        tuple(_starved(raw, found)),
        bool(measured),
        tuple(measured_of(visible(str(each["name"])), each) for each in data.get("parameters", ())),
        tuple(capture_lines(report)),
        counts_line(report),
        tuple(hints(report)),
        tuple(sorted({site.family for site in report.sites})),
        tuple(sorted({site.module for site in report.sites if site.module}, key=_by_numbers)),
        tuple(explanations(report)),
    )


def _by_numbers(name: str) -> list[str | int]:
    """A key that sorts the layers of a network by their numbers: 2 before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _starved(report: ReportData, entries: Iterable[Entry]) -> Iterator[tuple[str, str, tuple[Entry, ...]]]:
    """The names that no gradient reaches, what becomes of them, and the sites that cut them."""
    of_site = {site.id: entry for entry in entries for site in entry.group.sites}
    for text, now, names in starved_lines(report):
        found = [of_site[site] for name in names for site in report.upstream.get(name, ()) if site in of_site]
        yield visible(text), now, tuple({id(entry): entry for entry in found}.values())


def _anchors(files: Iterable[str]) -> dict[str, str]:
    """A short name for each file that no other one has, such as `router` for pkg/router.py."""
    found: dict[str, str] = {}
    taken: Counter[str] = Counter()
    for file in dict.fromkeys(files):
        name = re.sub(r"[^A-Za-z0-9_]+", "-", PurePath(file).stem).strip("-") or "file"
        taken[name] += 1
        while taken[name] > 1 and f"{name}-f{taken[name]}" in found.values():
            taken[name] += 1
        found[file] = name if taken[name] == 1 else f"{name}-f{taken[name]}"
    return found


def _rules(groups: Mapping[str, Sequence[Group]], real: Mapping[int, Site]) -> dict[int, str]:
    """The entry that would change each group, by the number of its first site."""
    every = [group for members in groups.values() for group in members]
    many = Counter((group.first.file, group.first.line, group.first.op) for group in every)
    turned = turned_lines(real.values())
    return {
        group.first.id: entry_for(
            [real[site.id] for site in group.sites],
            many[group.first.file, group.first.line, group.first.op] == 1,
            turned,
        )
        for group in every
    }


def _entry(
    group: Group, anchor: Callable[[str, int], str], rules: Mapping[int, str], measured: Mapping[int, Any]
) -> Entry:
    site = group.first
    uses = dict.fromkeys((use.op, use.file, use.line, use.takes) for each in group.sites for use in each.consumers)
    return Entry(
        site.id,
        anchor(site.file, site.line),
        group,
        shown_place(site.file, site.line),
        settings(*group.sites),
        tuple(Use(op, f"{short_path(file)}:{line}", anchor(file, line), takes) for op, file, line, takes in uses),
        rules[site.id],
        tuple(measured_of(each.module, measured[each.id]) for each in group.sites if each.id in measured),
    )


def _file(
    name: str,
    path: str,
    anchor: str,
    entries: Sequence[Entry],
    notes: Sequence[tuple[str, Break]],
    users: Mapping[int, str],
) -> File:
    sites = [site for entry in entries for site in entry.group.sites]
    cutting = [site for site in sites if site.family in _CUTTING]
    still = sum(site.action in ("keep", "blocked") for site in cutting)
    lines: dict[int, str] = {**users, **{item.line: "" for _, item in notes}}
    lines |= {site.line: site.source for site in sites}
    found = tuple(functions(path, lines))
    texts = {line.number: line.text for part in found for stretch in part.stretches for line in stretch.lines}
    by_line: dict[int, list[Entry]] = {}
    for entry in entries:
        by_line.setdefault(entry.site.line, []).append(entry)
    said: dict[int, list[tuple[str, str]]] = {}
    for kind, item in notes:
        said.setdefault(item.line, []).append((kind, item.reason))
    places = {}
    for number in lines:
        at = tuple(by_line.get(number, ()))
        text = marked(texts.get(number, clipped(lines[number])), dict.fromkeys(entry.site.op for entry in at))
        places[number] = Place(number, f"{anchor}-{number}", text, at, tuple(dict.fromkeys(said.get(number, ()))))
    counts = Counter(site.action for site in sites)
    return File(short_path(name), anchor, found, places, counts, len(cutting), still)
