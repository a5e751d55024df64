"""A policy as a whole: entries in order, and the questions that one asks of it.

Order is the only precedence: the preset, then [default], then each [[rule]] in file order, then the settings of the
command line; a later match overrides the fields it sets. `reading` reads and checks entries, `resolved` answers for
one site.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TypeAlias, cast

from softfx.decisions.policy.entry import Entry, Place
from softfx.decisions.policy.presets import DEFAULT_PRESET, PRESETS
from softfx.decisions.policy.reading import read_entries
from softfx.decisions.policy.resolved import Resolved, SiteFacts, resolve
from softfx.decisions.policy.schema import Settings
from softfx.decisions.policy.toml import read, write_pairs
from softfx.errors import PolicyError, brief, did_you_mean, listed
from softfx.locations import shown_place
from softfx.rules import RULES
from softfx.rules.rule import Rule
from softfx.visible import visible
from softfx.vocabulary import PresetName

__all__ = ["Policy", "PolicyLike"]

# A preset's name or the path of a TOML file, a dict of the same shape, a Policy, or None for the preset "gradients".
PolicyLike: TypeAlias = "PresetName | str | os.PathLike[str] | Mapping[str, object] | Policy | None"


@dataclass(frozen=True)
class Policy:
    """The choice of sites that are acted on, and of the way. Make one with `Policy.load`."""

    name: str
    preset: str
    entries: tuple[Entry, ...]
    known: Mapping[str, Rule] = field(repr=False, default_factory=lambda: RULES)

    @classmethod
    def load(
        cls,
        value: PolicyLike,
        *,
        known_ops: Mapping[str, Rule] | None = None,
    ) -> Policy:
        """The policy that `value` stands for.

        Args:
            value: None (the preset "gradients"), a preset's name, a path to a TOML file, a dict of the same shape, or
                a Policy.
            known_ops: the rule table to check names against; softfx's own when None.

        Raises:
            PolicyError: a policy with mistakes; the message has one line for each.
        """
        known = RULES if known_ops is None else known_ops
        if isinstance(value, Policy):
            return value
        if value is None or (isinstance(value, str) and value in PRESETS):
            preset = value or DEFAULT_PRESET
            return cls(f"preset {preset}", preset, (), known)
        if isinstance(value, Mapping):
            return cls("<dict>", *_entries(*read_entries(value, "<dict>", None, known)), known)
        if not isinstance(value, str | os.PathLike):
            legal = f"a preset ({', '.join(PRESETS)}), a path, a dict or a softfx.Policy"
            raise PolicyError(f"policy: {brief(value)} is not a policy. Give {legal}.")
        name = os.fsdecode(value)
        if not _is_file(name):
            hint = did_you_mean(name, PRESETS)
            raise PolicyError(
                f"policy: {brief(name)} is neither a preset nor a file. Presets: {', '.join(PRESETS)}.{hint}"
                " `softfx policy init TARGET` writes a file to start from."
            )
        data, lines = read(Path(name), name)
        return cls(name, *_entries(*read_entries(data, name, lines, known)), known)

    def extended(self, data: Mapping[str, object], label: str) -> Policy:
        """This policy with further entries behind its own; `data` is shaped like a policy."""
        _, entries = read_entries(data, label, None, self.known, titled=False)
        return Policy(self.name, self.preset, (*self.entries, *entries), self.known)

    def with_defaults(self, where: str, **fields: object) -> Policy:
        """This policy with these fields in its [default], those that are None left out; [[rule]] entries override them.

        where: the function that was given them, for messages and reports.
        """
        given = {key: value for key, value in fields.items() if value is not None}
        if not given:
            return self
        label = f"{where}({', '.join(f'{key}={brief(value)}' for key, value in given.items())})"
        _, added = read_entries({"default": given}, label, None, self.known, titled=False)
        before = [entry for entry in self.entries if entry.is_default]
        rules = [entry for entry in self.entries if not entry.is_default]
        return Policy(self.name, self.preset, (*before, *added, *rules), self.known)

    # -- resolving -------------------------------------------------------------------------------------------

    def resolve(self, *, op: str, code: str, family: str, module: str, file: str, line: int) -> Resolved:
        """The decision that the policy wants for one site."""
        return resolve(SiteFacts(op, code, family, module, file, line, self.known.get(op)), self._all())

    def _all(self) -> Iterable[Entry]:
        label = f"preset {self.preset}"
        yield Entry(label, label, PRESETS[self.preset]["default"], is_default=True)
        yield from self.entries

    @cached_property
    def can_act(self) -> bool:
        """Return False for a policy that leaves every site as it is."""
        default: dict[str, object] = {}
        for entry in self._all():
            default |= entry.fields if entry.is_default else {}
        acts = default["action"] != "keep" and bool(default["families"])
        rules = (entry for entry in self._all() if not entry.is_default)
        return acts or any(entry.fields.get("action", default["action"]) != "keep" for entry in rules)

    def asks_for(self, rule: Rule) -> bool:
        """Return True if an entry names the operation or its family; a smooth operation is left alone otherwise."""
        named = (rule.name in entry.operations or rule.family in entry.families for entry in self.entries)
        return any(named) or any(rule.family in entry.settings.get("families", ()) for entry in self._all())

    def considers(self, rule: Rule) -> bool:
        """Return False for an operation that is smooth and that no entry names: it is left alone."""
        return rule.family != "normalization" or self.asks_for(rule)

    @cached_property
    def decides_members(self) -> bool:
        """True if an entry acts on masks that give a result its shape, by whose elements."""
        return self._acts_on_control({"membership"})

    @cached_property
    def turns(self) -> bool:
        """True if an entry acts on control flow: branches, and numbers that Python reads."""
        return self._acts_on_control({rule.name for rule in self.known.values() if rule.family == "control"})

    def _acts_on_control(self, names: set[str]) -> bool:
        """Return True if the policy acts on the family of control flow, or on one of these operations of it."""
        default: dict[str, object] = {}
        for entry in self._all():
            default |= entry.fields if entry.is_default else {}
        if default["action"] != "keep" and "control" in cast(Settings, default)["families"]:
            return True
        named = (entry for entry in self.entries if "control" in entry.families or names & entry.operations)
        return any(entry.fields.get("action", default["action"]) != "keep" for entry in named)

    @property
    def softens(self) -> bool:
        """Return True if an entry can make a site soft, and so change values."""
        return any(entry.fields.get("action") == "soft" for entry in self._all())

    @cached_property
    def softens_calls(self) -> bool:
        """True if an entry can make a site soft that is no control flow."""
        known = {rule.name: rule.family for rule in self.known.values()}
        for entry in self._all():
            named = {known[name] for name in entry.operations} | entry.families
            families = named or set(cast(Settings, entry.fields).get("families", ("discrete",)))
            if entry.fields.get("action") == "soft" and families != {"control"}:
                return True
        return False

    # -- entries that match nothing --------------------------------------------------------------------------

    def unmatched(self, sites: Sequence[Place]) -> list[str]:
        """A message for each [[rule]] that matches none of the sites found."""
        rules = [entry for entry in self.entries if not entry.is_default and not entry.selects_all]
        idle = [rule for rule in rules if not any(rule.matches(site) for site in sites)]
        return [_why_unmatched(rule, sites, self.known) for rule in idle]

    # -- writing ---------------------------------------------------------------------------------------------

    def to_toml(self) -> str:
        """The policy as a file that loads to the same decisions."""
        text = write_pairs({"version": 1, "preset": self.preset})
        default: dict[str, object] = {}
        for entry in self.entries:
            default |= entry.fields if entry.is_default else {}
        if default:
            text += "\n[default]\n" + write_pairs(default)
        for entry in self.entries:
            if not entry.is_default:
                text += "\n[[rule]]\n" + write_pairs(entry.selectors() | dict(entry.fields))
        return text

    def _repr_html_(self) -> str:
        return f"<b>{escape(visible(self.name))}</b><pre>{escape(self.to_toml())}</pre>"


def _is_file(name: str) -> bool:
    """Return True for an ordinary file; a folder, a device, or a name that no file can have is none."""
    try:
        return Path(name).is_file()
    except OSError:  # the name is too long
        return False


def _entries(preset: str, entries: list[Entry]) -> tuple[str, tuple[Entry, ...]]:
    return preset, tuple(entries)


def _why_unmatched(entry: Entry, sites: Sequence[Place], known: Mapping[str, Rule]) -> str:
    """The message about an entry without a match: the selector that fits nothing, and the names that would fit."""
    start = f"{entry.where}: this entry matches none of the {len(sites)} sites"
    end = "Correct or delete it, or allow it with --allow-unused (allow_unused=True)."
    by_op = [site for site in sites if entry.matches_op(site)]
    if not by_op and entry.families | {known[op].family for op in entry.operations} == {"selection"}:
        text = f"{listed(entry.written)} follows what reaches it and is never a site"
        return f"{entry.where}: {text}. Selections need no entry: delete it."
    if not by_op:
        there = listed(sorted({site.op for site in sites})) or "none"
        text = f"{start}: there is no {' or '.join(entry.written)} that depends on a float input or parameter."
        return f"{text} Operations found: {there}. {end}"
    if not any(entry.matches_module(site) for site in by_op):
        modules = listed(sorted({repr(site.module) for site in by_op}))
        return f"{start}: module {_shown(entry.module)} is not where they are. Modules: {modules}. {end}"
    places = [shown_place(site.file, site.line) for site in by_op if entry.matches_module(site)]
    text = f"{start}: source {_shown(entry.source)} is not where they are."
    return f"{text} Places: {listed(dict.fromkeys(places), 6)}. {end}"


def _shown(patterns: tuple[str, ...] | None) -> str:
    return " or ".join(repr(pattern) for pattern in patterns or ())
