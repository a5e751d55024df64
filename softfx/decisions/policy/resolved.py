"""The answer of a policy for one site: the fields of every entry that matches it, later entries over earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from softfx.decisions.policy.entry import Entry
from softfx.decisions.policy.methods import NETWORK, NETWORK_METHOD, misfit
from softfx.decisions.policy.schema import AUTO, RELATIVE, SETTINGS, Action, OnBlocked, Settings
from softfx.errors import PolicyError, listed
from softfx.locations import shown_place
from softfx.rules.control import ESTIMATORS as CONTROL_ESTIMATORS
from softfx.rules.rule import Rule
from softfx.rules.soft_operator import default_of
from softfx.rules.units import Unit

__all__ = ["Resolved", "SiteFacts", "resolve"]

_NOT_OPTIONS = {*SETTINGS, "families"}


@dataclass(frozen=True)
class Resolved:
    """The wish of the policy for one site.

    options: arguments for the soft operator, of those that it takes only the ones that the policy gives.
    estimator: the source of a straight-through site's derivative; None for its soft form.
    allow_partial: the site may act where only some of its consumers take soft values.
    outputs: the form in which a soft result leaves the model; None leaves it to the action.
    auto: softness = "auto" chose the softness.
    auto_scope: and the scope.
    auto_estimator: and the estimator.
    named: an entry names the operation or its family; existing straight-through code is only touched then.
    """

    action: Action
    options: Mapping[str, Any]  # keyword arguments of operators whose types differ
    scope: str = "region"
    estimator: str | None = None
    lift_no_grad: bool = False
    lift_detach: bool = False
    allow_partial: bool = True
    on_blocked: OnBlocked = "keep"
    outputs: str | None = None
    decided_by: str = ""
    auto: bool = False
    auto_scope: bool = False
    auto_estimator: bool = False
    named: bool = False


@dataclass(frozen=True)
class SiteFacts:
    """The facts of one site that a policy looks at; rule: None for an operation that the rule table lacks."""

    op: str
    code: str
    family: str
    module: str
    file: str
    line: int
    rule: Rule | None

    def __str__(self) -> str:
        return f"{self.op} at {shown_place(self.file, self.line)}"


@dataclass
class _Fields:
    """The fields that entries set for one site, and the label of the entry that set each last."""

    values: dict[str, object] = field(default_factory=dict)
    set_by: dict[str, str] = field(default_factory=dict)
    named_by: str = ""  # the last entry that names the operation or its family
    preset: str = ""  # the label of the first entry, the preset

    @classmethod
    def of(cls, site: SiteFacts, entries: Iterable[Entry]) -> _Fields:
        """The fields of all entries that match the site."""
        fields = cls()
        for entry in entries:
            fields.preset = fields.preset or entry.label
            if entry.matches(site):
                fields.values |= entry.fields
                fields.set_by |= dict.fromkeys(entry.fields, entry.label)
                fields.named_by = entry.label if entry.names(site) else fields.named_by
        return fields

    @property
    def settings(self) -> Settings:
        return cast(Settings, self.values)  # `reading` has checked each value

    def decided_by(self, keys: Iterable[str]) -> str:
        """The entries that set these fields; where there are several, with the fields that each of them set."""
        by_label: dict[str, list[str]] = {}
        for key in keys:
            if key in self.set_by:
                by_label.setdefault(self.set_by[key], []).append(key)
        if len(by_label) == 1:
            return next(iter(by_label))
        return ", ".join(f"{label} ({', '.join(names)})" for label, names in by_label.items())


def resolve(site: SiteFacts, entries: Iterable[Entry]) -> Resolved:
    """The policy's answer for one site.

    Raises:
        PolicyError: an action, method, option or estimator that does not fit the operation.
    """
    fields = _Fields.of(site, entries)
    settings, named = fields.settings, fields.named_by != ""
    action = _action(site, fields)
    has_scope = "scope" in fields.values
    auto = action != "keep" and _in_units(site, fields, action)
    options = _options(site, fields) if action != "keep" else {}
    relevant = ("action", *options) if named or site.family in settings["families"] else ("families",)
    return Resolved(
        action,
        options,
        scope=_scope(site, action, fields),
        estimator=_estimator(site, action, fields),
        lift_no_grad=settings.get("lift_no_grad", False),
        lift_detach=settings.get("lift_detach", False),
        allow_partial=settings.get("allow_partial", True),
        on_blocked=settings.get("on_blocked", "keep"),
        outputs=settings.get("outputs"),
        decided_by=fields.decided_by(relevant),
        auto=auto,
        auto_scope=auto and not has_scope,
        auto_estimator=auto and action == "straight_through" and "estimator" not in fields.values,
        named=named,
    )


def _in_units(site: SiteFacts, fields: _Fields, action: Action) -> bool:
    """Put in what a softness relative to the data, or "auto", stands for, where the policy does not say it itself.

    Return True if "auto" chose the softness. A preset's "auto" is for derivatives alone: a soft form changes values,
    and has its number unless it is asked.
    """
    softness, unit = fields.values.get("softness"), site.rule.unit if site.rule is not None else None
    if softness == AUTO:
        asked = action != "soft" or fields.set_by["softness"] != fields.preset
        del fields.values["softness"]
        chosen = _rule_of_thumb(site.rule, unit, fields) if unit is not None and asked else {}
    elif isinstance(softness, Mapping) and unit is not None and "standardize" in unit.auto:
        if fields.values.get("standardize"):
            text = f"a softness relative to the rows needs rows as they are, and {site} has standardize = true."
            raise PolicyError(f"{fields.set_by['softness']}: {text} Write standardize = false, or a number.")
        chosen = {"standardize": False}
    else:
        return False
    for key, value in chosen.items():
        if key not in fields.values:
            fields.values[key] = value
            fields.set_by[key] = fields.set_by["softness"]
    return softness == AUTO and "softness" in chosen


def _rule_of_thumb(rule: Rule | None, unit: Unit, fields: _Fields) -> dict[str, object]:
    """What softness = "auto" chooses for an operation with this unit."""
    if fields.values.get("standardize"):
        return {}  # standardized rows have a unit of their own, in which the operator's default is
    chosen = {"softness": {RELATIVE: unit.relative}, **unit.auto}
    if misfit(rule, chosen.get("method"), fields.values.get("mode", "smooth")):
        del chosen["method"]  # the operation's own method has more modes
    return chosen if unit.scope is None else {**chosen, "scope": unit.scope}


def _action(site: SiteFacts, fields: _Fields) -> Action:
    settings = fields.settings
    if not fields.named_by and site.family not in settings["families"]:
        return "keep"
    action = settings["action"]
    if site.family == "unsafe" and action != "keep":
        return "guard"
    if action == "guard":
        raise PolicyError(
            f"{fields.set_by['action']}: action = 'guard' is only for unsafe operations, and {site} is not one. "
            "Give its entry an action of its own."
        )
    return action


def _options(site: SiteFacts, fields: _Fields) -> dict[str, object]:
    """The fields that the soft operator takes, checked against each other."""
    options = {
        key: value
        for key, value in fields.values.items()
        if key not in _NOT_OPTIONS and (site.rule is None or key in site.rule.options)
    }
    if text := misfit(site.rule, options.get("method"), options.get("mode", "smooth")):
        where = shown_place(site.file, site.line)
        raise PolicyError(
            f"{fields.set_by['method']}: {text} Give {site.op} at {where} an entry with a method of its own."
        )
    method = options.get("method", default_of(site.rule, "method") if site.rule is not None else None)
    for key in NETWORK:
        if key in options and method != NETWORK_METHOD:
            text = f"{key} is an option of method = '{NETWORK_METHOD}', and {site} has {method!r}."
            raise PolicyError(f"{fields.set_by[key]}: {text} Give the entry that method, or leave {key} out.")
    return options


def _estimator(site: SiteFacts, action: Action, fields: _Fields) -> str | None:
    """The estimator where it fits; an entry that names this operation and gives one that does not fit is an error."""
    name = fields.settings.get("estimator")
    if name in (None, "soft") or action == "keep":
        return None
    fitting = site.rule.estimators if site.rule is not None else {}
    if site.family == "control" and name in CONTROL_ESTIMATORS:  # one entry serves branches and numbers alike
        return name if name in fitting else None
    where = f"{fields.set_by['estimator']}: estimator = {name!r}"
    named = fields.named_by == fields.set_by["estimator"]
    if action != "straight_through":
        if not named:
            return None
        text = f"needs action = 'straight_through'; {site} has {action!r}"
        raise PolicyError(f"{where} {text}. An estimator replaces a derivative. Give the entry that action.")
    if name not in fitting and named:
        legal = listed(["soft", *fitting])
        raise PolicyError(f"{where} does not fit {site.op}. Estimators for it: {legal}. Take one of these.")
    return name if name in fitting else None


def _scope(site: SiteFacts, action: Action, fields: _Fields) -> str:
    """The scope where it fits: a module is run again alone for control flow, and for nothing else."""
    scope = fields.settings.get("scope", "region")
    if scope != "module" or action == "keep":
        return scope
    where, exact = fields.set_by["scope"], fields.values.get("exact")
    if site.family != "control":
        if fields.named_by != where:
            return "region"
        text = f"scope = 'module' is for control flow, and {site} is none."
        raise PolicyError(f"{where}: {text} Take operation, region, decision or model.")
    if exact:
        text = f"exact = {exact} runs all paths of the whole call, and scope = 'module' runs one module of it."
        raise PolicyError(f"{where}: {text} Leave one of them out.")
    return scope
