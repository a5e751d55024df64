"""The entry of a policy that would change what is decided about a group of sites."""

from __future__ import annotations

import glob
import re
from collections.abc import Collection, Sequence

from softfx.decisions.policy.toml import write_pairs
from softfx.locations import portable_path
from softfx.ops import table
from softfx.ops.spelling import READ_BY, SPOKEN
from softfx.report.record import Consumer, Site

__all__ = ["changes_of", "entry_for"]

# What a reason tells to write in a policy stands in it as it is written there.
_REMEDY = re.compile(r"\b(action|estimator|lift_detach|lift_no_grad) = (?:(true)|[\"'](\w+)[\"'])")
_READS = {SPOKEN[table.is_nonzero], table.item.name, *READ_BY.values()}
_BY_NAME = ("the policy keeps it", "name it to act on it")


def entry_for(sites: Sequence[Site], alone: bool, turned: Collection[tuple[str, int]] = ()) -> str:
    """The `[[rule]]` that gives these sites another decision; "" where no entry does.

    Args:
        sites: a group as `by_file` makes it.
        alone: whether they are all sites of their operation on their line; if not, the entry names their modules.
        turned: the lines on which a control site acts already.

    >>> print(entry_for([Site(0, "SX201", "argmax", "gate", "/pkg/router.py", 7, "", "discrete", "soft")], True))
    [[rule]]
    op = "argmax"
    source = "pkg/router.py:7"
    action = "keep"
    <BLANKLINE>
    """
    site = sites[0]
    read = _read_at(site)
    if read is not None and (read.file, read.line) not in turned:
        pairs: dict[str, object] = {"op": "@control", "source": _source(read.file, read.line)}
        number = {} if read.op in SPOKEN.values() else {"estimator": "difference"}  # what a real number needs
        return "[[rule]]\n" + write_pairs(pairs | {"action": "straight_through"} | number)
    changes = changes_of(site)
    if not changes:
        return ""
    pairs = {"op": site.op}
    modules = [glob.escape(name) for name in dict.fromkeys(each.module for each in sites) if name]
    if modules and not alone:
        pairs["module"] = modules[0] if len(modules) == 1 else modules
    pairs["source"] = _source(site.file, site.line)
    return "[[rule]]\n" + write_pairs(pairs | changes)


def _read_at(site: Site) -> Consumer | None:
    """Where Python reads or decides by the value of a site that stays hard for that: a control site, once named."""
    if site.action not in ("keep", "blocked") or changes_of(site).get("action") not in (None, "keep"):
        return None
    return next((use for use in site.consumers if use.takes == "hard" and use.op in _READS), None)


def _source(file: str, line: int) -> str:
    return f"{glob.escape(portable_path(file))}:{line}"


def changes_of(site: Site) -> dict[str, object]:
    """The fields of an entry that change what is decided: those that the reason names, or else another action.

    None for a site that is kept for what it reaches, or for where it stands: it is kept under every policy.
    """
    acting = "guard" if site.family == "unsafe" else "straight_through"
    if site.action == "keep" and any(words in site.reason for words in _BY_NAME):
        return {"action": acting}
    if remedies := {name: bool(true) or text for name, true, text in _REMEDY.findall(site.reason)}:
        return dict(remedies)
    if site.action == "keep":
        return {} if site.reason else {"action": acting}
    return {"action": "keep"}
