"""A policy as a whole: entries in order, and what they come to for one site.

Order is the only precedence: the preset, then [default], then each [[rule]] in file order, then what the
command line sets; a later match overrides the fields it sets. Reading and checking are in `reading`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from softfx.decisions.policy.entry import Entry, Place
from softfx.decisions.policy.methods import NETWORK, NETWORK_METHOD, misfit
from softfx.decisions.policy.presets import DEFAULT_PRESET, PRESETS
from softfx.decisions.policy.reading import read_entries
from softfx.decisions.policy.schema import SETTINGS
from softfx.decisions.policy.toml import read, write_pairs
from softfx.errors import PolicyError, did_you_mean, listed
from softfx.rules import RULES
from softfx.rules.rule import Rule

__all__ = ["Action", "Policy", "Resolved"]

Action = Literal["soft", "straight_through", "guard", "keep"]
_NOT_OPTIONS = {*SETTINGS, "families"}


@dataclass(frozen=True)
class Resolved:
    """What the policy wants of one site.

    options: what to tell the soft operator: only what the policy gives and the operator takes.
    estimator: what gives a straight-through site its derivative; None for its soft form.
    allow_partial: whether it may act where only some of its consumers take soft values.
    outputs: what a soft result that leaves the model is given as; None for the policy's action to say.
    named: an entry names the operation or its family; existing straight-through code is only touched then.
    """

    action: Action
    options: Mapping[str, Any]
    scope: str = "region"
    estimator: str | None = None
    lift_no_grad: bool = False
    lift_detach: bool = False
    allow_partial: bool = True
    on_blocked: Literal["keep", "error"] = "keep"
    outputs: str | None = None
    decided_by: str = ""
    named: bool = False


@dataclass(frozen=True)
class _Place:
    op: str
    code: str
    family: str
    module: str
    file: str
    line: int


@dataclass(frozen=True)
class Policy:
    """Which sites are acted on, and how. Make one with `Policy.load`."""

    name: str
    preset: str
    entries: tuple[Entry, ...]
    known: Mapping[str, Rule] = field(repr=False, default_factory=lambda: RULES)

    @classmethod
    def load(
        cls,
        value: str | os.PathLike[str] | Mapping[str, Any] | Policy | None,
        *,
        known_ops: Mapping[str, Rule] | None = None,
    ) -> Policy:
        """The policy that `value` stands for.

        Args:
            value: None (the preset "gradients"), a preset's name, a path to a TOML file, a dict of the same
            shape,
                or a Policy.
            known_ops: the rule table to check names against; softfx's own when None.
        Raises:
            PolicyError: with every mistake in it, one a line.
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
            raise PolicyError(f"policy: {value!r} is not a policy. Give {legal}.")
        name = os.fspath(value)
        if not Path(name).is_file():
            hint = did_you_mean(name, PRESETS)
            raise PolicyError(
                f"policy: {name!r} is neither a preset nor a file. Presets: {', '.join(PRESETS)}.{hint}"
                " `softfx policy init TARGET` writes a file to start from."
            )
        data, lines = read(Path(name), name)
        return cls(name, *_entries(*read_entries(data, name, lines, known)), known)

    def extended(self, data: Mapping[str, Any], label: str) -> Policy:
        """This policy with further entries behind its own; `data` is shaped like a policy."""
        _, entries = read_entries(data, label, None, self.known, titled=False)
        return Policy(self.name, self.preset, (*self.entries, *entries), self.known)

    # -- resolving -------------------------------------------------------------------------------------------

    def resolve(self, *, op: str, code: str, family: str, module: str, file: str, line: int) -> Resolved:
        """What is to be done at one site."""
        place = _Place(op, code, family, module, file, line)
        fields: dict[str, Any] = {}
        set_by: dict[str, str] = {}
        named = False
        for entry in self._all():
            if not entry.matches(place):
                continue
            fields |= entry.fields
            set_by |= dict.fromkeys(entry.fields, entry.label)
            if entry.names(place):
                named = True
                set_by["named"] = entry.label
        action = self._action(place, fields, set_by, named)
        taken = self._options_of(op)
        options = {
            key: value
            for key, value in fields.items()
            if action != "keep" and key not in _NOT_OPTIONS and (taken is None or key in taken)
        }
        if text := misfit(op, options.get("method"), options.get("mode", "smooth")):
            where = f"{place.file}:{place.line}"
            raise PolicyError(f"{set_by['method']}: {text} Give {op} at {where} an entry with a method of its own.")
        for key in NETWORK:
            if key in options and options.get("method") != NETWORK_METHOD:
                has = f"{op} at {place.file}:{place.line} has {options.get('method', 'softsort')!r}"
                text = f"{set_by[key]}: {key} is an option of method = '{NETWORK_METHOD}', and {has}."
                raise PolicyError(f"{text} Give the entry that method, or leave {key} out.")
        relevant = ("action", *options) if named or family in fields["families"] else ("families",)
        return Resolved(
            action,
            options,
            scope=fields.get("scope", "region"),
            estimator=self._estimator(place, action, fields, set_by),
            lift_no_grad=fields.get("lift_no_grad", False),
            lift_detach=fields.get("lift_detach", False),
            allow_partial=fields.get("allow_partial", True),
            on_blocked=fields.get("on_blocked", "keep"),
            outputs=fields.get("outputs"),
            decided_by=_decided_by(relevant, set_by),
            named=named,
        )

    def _action(self, place: _Place, fields: Mapping[str, Any], set_by: Mapping[str, str], named: bool) -> Action:
        if not named and place.family not in fields["families"]:
            return "keep"
        action = cast(Action, fields["action"])
        if place.family == "unsafe" and action != "keep":
            return "guard"
        if action == "guard":
            raise PolicyError(
                f"{set_by['action']}: action = 'guard' is only for unsafe operations, and {place.op} at "
                f"{place.file}:{place.line} is not one. Give its entry an action of its own."
            )
        return action

    def _estimator(
        self, place: _Place, action: Action, fields: Mapping[str, Any], set_by: Mapping[str, str]
    ) -> str | None:
        """The estimator, where it fits; one that an entry for this very operation asks for has to."""
        name = fields.get("estimator")
        if name in (None, "soft") or action == "keep":
            return None
        where = f"{set_by['estimator']}: estimator = {name!r}"
        named = set_by.get("named") == set_by["estimator"]
        if action != "straight_through":
            if not named:
                return None
            text = f"needs action = 'straight_through'; {place.op} at {place.file}:{place.line} has {action!r}"
            raise PolicyError(f"{where} {text}. An estimator replaces a derivative. Give the entry that action.")
        fitting = self.known[place.op].estimators if place.op in self.known else {}
        if name not in fitting and named:
            legal = listed(["soft", *fitting])
            raise PolicyError(f"{where} does not fit {place.op}. Estimators for it: {legal}. Take one of these.")
        return name if name in fitting else None

    def _options_of(self, op: str) -> tuple[str, ...] | None:
        rule = self.known.get(op)
        return None if rule is None else rule.options

    def _all(self) -> Iterable[Entry]:
        label = f"preset {self.preset}"
        yield Entry(label, label, PRESETS[self.preset]["default"], is_default=True)
        yield from self.entries

    @property
    def can_act(self) -> bool:
        """False for a policy that leaves every site as it is."""
        default: dict[str, Any] = {}
        for entry in self._all():
            default |= entry.fields if entry.is_default else {}
        acts = default["action"] != "keep" and bool(default["families"])
        rules = (entry for entry in self._all() if not entry.is_default)
        return acts or any(entry.fields.get("action", default["action"]) != "keep" for entry in rules)

    def asks_for(self, rule: Rule) -> bool:
        """Whether an entry names the operation or its family: what is smooth is left alone otherwise."""
        named = (rule.op in entry.operations or rule.family in entry.families for entry in self.entries)
        return any(named) or any(rule.family in entry.fields.get("families", ()) for entry in self._all())

    @property
    def softens(self) -> bool:
        """Whether an entry can make a site soft, and so change values."""
        return any(entry.fields.get("action") == "soft" for entry in self._all())

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
        default: dict[str, Any] = {}
        for entry in self.entries:
            default |= entry.fields if entry.is_default else {}
        if default:
            text += "\n[default]\n" + write_pairs(default)
        for entry in self.entries:
            if not entry.is_default:
                text += "\n[[rule]]\n" + write_pairs(entry.selectors() | dict(entry.fields))
        return text


def _entries(preset: str, entries: list[Entry]) -> tuple[str, tuple[Entry, ...]]:
    return preset, tuple(entries)


def _decided_by(keys: Iterable[str], set_by: Mapping[str, str]) -> str:
    """The entries that set these fields; where there are several, with what each of them set."""
    by_label: dict[str, list[str]] = {}
    for key in keys:
        if key in set_by:
            by_label.setdefault(set_by[key], []).append(key)
    if len(by_label) == 1:
        return next(iter(by_label))
    return ", ".join(f"{label} ({', '.join(names)})" for label, names in by_label.items())


def _why_unmatched(entry: Entry, sites: Sequence[Place], known: Mapping[str, Rule]) -> str:
    """Which selector is the one that fits nothing, and what there would be."""
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
    places = [f"{site.file}:{site.line}" for site in by_op if entry.matches_module(site)]
    text = f"{start}: source {_shown(entry.source)} is not where they are."
    return f"{text} Places: {listed(dict.fromkeys(places), 6)}. {end}"


def _shown(patterns: tuple[str, ...] | None) -> str:
    return " or ".join(repr(pattern) for pattern in patterns or ())
