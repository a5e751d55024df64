"""The words that all formats share: decisions, settings, counts and hints, and the grouping of sites.

Sites that differ only in their module (the layers of a network) are one group.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from softfx.errors import listed
from softfx.locations import shown_place
from softfx.ops.spelling import READ_BY, SPOKEN
from softfx.report.record import BESIDE_INFINITIES, SHAPED_BY_DATA, ReportData, Site, SiteAction
from softfx.rules import RULES
from softfx.rules.barriers import INSTEAD

__all__ = [
    "ACTION_WORDS",
    "CUTS",
    "STARVED",
    "Group",
    "by_file",
    "capture_lines",
    "counts_line",
    "details",
    "explanations",
    "hints",
    "in_short",
    "plural",
    "settings",
    "starved_lines",
    "turned_lines",
]

# The headings of `ReportData.starved` and `ReportData.cuts`.
STARVED = "No gradient at all in the original"
CUTS = "Cuts: where the program itself ends a gradient"
ACTION_WORDS: dict[SiteAction, str] = {
    "soft": "soft",
    "straight_through": "straight-through",
    "guard": "guarded",
    "keep": "kept",
    "blocked": "blocked",
}


@dataclass(frozen=True)
class Group:
    """Sites with one place, one operation and one decision, in one or many modules."""

    sites: tuple[Site, ...]

    @property
    def first(self) -> Site:
        return self.sites[0]

    @property
    def modules(self) -> list[str]:
        return list(dict.fromkeys(site.module for site in self.sites if site.module))

    @property
    def reasons(self) -> list[str]:
        return list(dict.fromkeys(site.reason.strip() for site in self.sites if site.reason))

    @property
    def title(self) -> str:
        times = f" ({len(self.sites)} sites)" if len(self.sites) > 1 else ""
        return f"{self.first.code} {self.first.op}: {ACTION_WORDS[self.first.action]}{times}"


def by_file(sites: Iterable[Site]) -> dict[str, list[Group]]:
    """The groups by file: files in the order of their first site, groups in the order of their lines."""
    found: dict[str, dict[object, list[Site]]] = {}
    for site in sites:
        consumers = tuple((c.op, c.file, c.line) for c in site.consumers if c.takes == "hard")
        decision = (
            site.action,
            site.mode,
            site.method,
            None if site.unit else site.softness,
            site.estimator,
            site.decided_by,
            site.reason.removesuffix(site.unit),
            consumers,
        )
        found.setdefault(site.file, {}).setdefault((site.line, site.op, decision), []).append(site)
    groups = {file: [Group(tuple(sites)) for sites in places.values()] for file, places in found.items()}
    return {file: sorted(members, key=lambda group: group.first.line) for file, members in groups.items()}


def settings(site: Site, *alike: Site) -> str:
    """The settings of a soft site as words, such as 'mode smooth, method softsort, softness 0.1'.

    Sites `alike` may differ in their softness, which is a range then: 'softness 0.005 to 0.02'.
    """
    if site.action not in ("soft", "straight_through"):
        return ""
    parts = [("estimator", site.estimator), ("mode", site.mode), ("method", site.method)]
    words = [f"{name} {value}" for name, value in parts if value is not None]
    words += filter(None, [_softness((site, *alike))])
    return ", ".join(words)


def details(group: Group) -> list[str]:
    """The lines about one group: its modules, its settings, the entry that decided, the reason, and the cuts."""
    site, lines = group.first, []
    if group.modules:
        lines.append(f"in {listed(group.modules, 4)}")
    decided = f"decided by {site.decided_by}" if site.decided_by else ""
    lines += [line for line in ("; ".join(filter(None, (settings(*group.sites), decided))),) if line]
    lines += [f"why: {reason}" for reason in listed_few(group.reasons)]
    for op, file, line_number in dict.fromkeys((c.op, c.file, c.line) for c in site.consumers if c.takes == "hard"):
        lines.append(f"cut: {op} at {shown_place(file, line_number)} takes only the hard value")
    return lines


def listed_few(lines: Iterable[str], most: int = 4) -> list[str]:
    """The first few of these lines, and how many more there are."""
    found = list(lines)
    more = [f"and {len(found) - most + 1} more like these"] if len(found) > most else []
    return [*found[: most - len(more)], *more]


# How the call was seen, where the reason does not say it by itself, and how the softened target runs.
_SEEN = {
    "dynamo": "Seen by torch's compiler front end (dynamo)",
    "fx": "Seen by symbolic tracing (fx)",
}
_RUN = {"eager": "The softened target runs the original's Python.", "graph": "The softened target runs a graph."}


def capture_lines(report: ReportData) -> list[str]:
    """The sentences that tell how the target was captured and how it runs."""
    as_graphs = f", as {plural(report.graphs, 'graph')}" if report.graphs else ""
    seen = f"{_SEEN[report.frontend]}{as_graphs}." if report.frontend in _SEEN else ""
    why = _sentence(report.why_frontend) if report.why_frontend else ""
    return [line for line in (seen, why, _RUN[report.executor]) if line]


def counts_line(report: ReportData) -> str:
    """The counts as sentences, such as '7 sites: 3 soft, 4 kept. 12 static operations ... were left alone.'"""
    counts = report.counts
    parts = [f"{counts[action]} {word}" for action, word in ACTION_WORDS.items() if counts[action]]
    text = plural(counts["found"], "site") + (": " + ", ".join(parts) if parts else "") + "."
    if report.static:
        verb = "was" if report.static == 1 else "were"
        static = plural(report.static, "static operation")
        text += f" {static} (on constants, integers or shapes) {verb} left alone."
    return text


def in_short(report: ReportData) -> str:
    """The counts and the softness of what is soft, for a repr: '3 sites: 2 soft, 1 kept; softness 0.05 to 0.1'."""
    counts = counts_line(report).partition(".")[0]
    return "; ".join(filter(None, (counts, _softness(report.sites))))


def _softness(sites: Iterable[Site]) -> str:
    """The softness of these sites, or the smallest and the largest: 'softness 0.05 to 0.1'."""
    acting = (site for site in sites if site.action in ("soft", "straight_through"))
    if not (found := [site.softness for site in acting if site.softness is not None]):
        return ""
    return f"softness {' to '.join(dict.fromkeys(f'{end:g}' for end in (min(found), max(found))))}"


def explanations(report: ReportData) -> list[tuple[str, str, str]]:
    """The code, the operation and the reason why it matters, for each operation in the report, sorted by code."""
    found = {(site.code, site.op) for site in report.sites}
    by_code = {rule.code: rule for rule in RULES.values()}
    return sorted((code, op, by_code[code].why) for code, op in found if code in by_code)


def _without_sites(report: ReportData) -> str:
    """What a report without sites says of the gradients all the same."""
    if report.known:
        return f"Nothing that the baseline does not have: {plural(report.known, 'site')} of it left out here."
    if report.cuts:
        return "No operation to act on: where a gradient ends, the program itself ends it; the cuts say where."
    if report.breaks:
        return (
            "No site was met in the call that was looked at; the breaks say what it did not show. A number that Python "
            "reads has no gradient."
        )
    if report.starved:
        return (
            "No operation to act on was seen, and yet something has no gradient: no result uses it, or what uses it "
            "was out of sight of torch's function protocol."
        )
    return "Nothing to act on: no operation here stands between a float and its gradient."


def hints(report: ReportData) -> list[str]:
    """The next steps that this report suggests."""
    if not report.sites:
        return [_without_sites(report), *report.control]
    lines = list(report.control)
    if report.not_tried:
        lines.append(f"Whether a gradient reaches these now is not known: {report.not_tried}.")
    blocked = [site for site in report.sites if site.action == "blocked"]
    if blocked:
        lines.append(
            "A blocked site runs as it always did; its reason says what stands in the way, "
            f"`softfx explain {blocked[0].code}` what takes its soft value."
        )
    kept = {
        site.family for site in report.sites if site.action == "keep" and not site.decided_by.startswith("preset keep")
    }
    if "kink" in kept:
        lines.append(
            "Kinks (relu, clamp, abs ...) have a gradient almost everywhere and are kept unless named: "
            'op = "@kink" in a [[rule]], or --policy straight-through.'
        )
    if "random" in kept:
        lines.append('Random draws are kept unless named: op = "@random" in a [[rule]].')
    lines += _steps(report)
    lines.append("`softfx policy init TARGET` writes a policy to edit; `softfx diff TARGET` shows the code changes.")
    return lines


# Why an operation takes only hard values, by the name that reports have for it.
_BARRIERS = {SPOKEN.get(rule.operation, rule.name): rule.barrier for rule in RULES.values() if rule.barrier}
_BARRIERS |= dict.fromkeys(READ_BY.values(), "number")


def _steps(report: ReportData) -> Iterator[str]:
    """The next step for each kind of thing that the policy would not mend."""
    left = [
        site for site in report.sites if site.action in ("keep", "blocked") and site.family in ("discrete", "random")
    ]
    turned = turned_lines(report.sites)
    cuts = [
        use for site in left for use in site.consumers if use.takes == "hard" and (use.file, use.line) not in turned
    ]
    met = {_BARRIERS.get(use.op) for use in cuts}
    if any(item.reason.endswith(SHAPED_BY_DATA) for item in report.breaks) and any(map(_is_unused, left)):
        met.add("shape")  # of what was selected only its size is used, which is read out of sight
    yield from (text for barrier, text in INSTEAD.items() if barrier in met)
    gained = set(report.gained or ())
    unused = [name for name in report.starved if name not in gained and not report.upstream.get(name)]
    detaches = any(not cut.reason.endswith(BESIDE_INFINITIES) for cut in report.cuts)
    if unused and not detaches and not report.breaks:
        yield (
            f"No site stands between {listed(unused, 3)} and a result: no result uses it, or what uses it is out of "
            "sight of torch's function protocol."
        )
    if detaches and report.starved and set(report.starved) != set(report.gained or ()):
        yield (
            "The program detaches: where that is not meant, --policy lifted, or lift_detach = true and "
            "lift_no_grad = true in a [[rule]], lets the gradient through."
        )


def _is_unused(site: Site) -> bool:
    """Return True if softly taken values of a site went nowhere."""
    return site.action == "keep" and all(use.takes == "soft" for use in site.consumers)


def turned_lines(sites: Iterable[Site]) -> set[tuple[str, int]]:
    """The lines on which a branch, or a number that Python reads, has a derivative already."""
    return {
        (site.file, site.line) for site in sites if site.family == "control" and site.action not in ("keep", "blocked")
    }


def starved_lines(report: ReportData) -> list[tuple[str, str, list[str]]]:
    """What gets no gradient in the original and what becomes of it: (text, 'has one now' or 'still none', names).

    Names that differ in a number only, those of the layers of a network, are one line.
    """
    gained = set(report.gained or ())
    groups: dict[tuple[str, bool], list[str]] = {}
    for name in report.starved:
        groups.setdefault((re.sub(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)", "*", name), name in gained), []).append(name)
    known = report.gained is not None or not any(site.action in ("soft", "straight_through") for site in report.sites)
    lines = []
    for (pattern, reached), names in groups.items():
        text = names[0] if len(names) == 1 else f"{pattern} ({len(names)} of them)"
        lines.append((text, ("has one now" if reached else "still none") if known else "", names))
    return lines


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _sentence(text: str) -> str:
    """The text with a capital letter and a full stop; names inside stay as they are."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
