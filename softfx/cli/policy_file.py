"""The policy that `softfx policy init` writes: one entry for each place, with a comment."""

from __future__ import annotations

import glob
from collections.abc import Iterator

from softfx.decisions.policy.toml import write_pairs
from softfx.locations import portable_path
from softfx.report import Report
from softfx.report.record import Site
from softfx.report.words import Group, by_file, settings
from softfx.visible import visible

__all__ = ["policy_text"]

_HEAD = """\
# softfx policy for {target}
# One entry for each site found. Later entries override earlier ones; delete what you do not want to decide.
# action: soft (the value changes), straight_through (only the gradient changes), guard (unsafe
# operations; the value stays), keep. `softfx explain CODE` says which options an operation takes.
version = 1
preset = "gradients"
"""


def policy_text(report: Report) -> str:
    """The text of a policy file that leads to the decisions of `report`."""
    return "".join(_parts(report))


def _parts(report: Report) -> Iterator[str]:
    yield _HEAD.format(target=visible(report.target))
    told: set[str] = set()
    for groups in by_file(report.sites).values():
        for group in groups:
            for entry, sites in _entries(group).items():
                if entry not in told:
                    told.add(entry)
                    yield "\n" + _comment(group, sites) + entry


def _entries(group: Group) -> dict[str, list[Site]]:
    """The entries of a group, one for each module, with the sites that it stands for."""
    entries: dict[str, list[Site]] = {}
    for site in group.sites:
        pairs: dict[str, object] = {"op": site.op}
        if site.module:
            pairs["module"] = glob.escape(site.module)
        pairs["source"] = f"{glob.escape(portable_path(site.file))}:{site.line}"
        pairs["action"] = "keep" if site.action == "blocked" else site.action
        if site.action in ("soft", "straight_through"):
            chosen: dict[str, object] = {"mode": site.mode, "method": site.method, "softness": site.softness}
            chosen |= {"standardize": site.standardize, "scope": site.scope}
            pairs |= {key: value for key, value in chosen.items() if value is not None}
        entries.setdefault("[[rule]]\n" + write_pairs(pairs), []).append(site)
    return entries


def _comment(group: Group, sites: list[Site]) -> str:
    site = group.first
    times = f", {len(sites)} times" if len(sites) > 1 else ""
    lines = [f"{site.code} {site.op} ({site.family}){times}: {site.source.strip()}"]
    lines += [f"{site.action}{': ' + site.reason if site.reason else ''}"] if site.action in ("blocked", "keep") else []
    lines += [settings(site)] if settings(site) else []
    lines += [site.unit] if site.unit else []
    return "".join(f"# {visible(' '.join(line.split()))}\n" for line in lines)
