"""Pages about the rule table: one operation as facts (name, text) and as data, all of them as a page of documentation.

Everything on a page is read from the rule's record and from the signature of its soft operator. `handbook` makes of
them the entries that `softfx explain` and `softfx rules` show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from softfx.handbook.entries import Entry, Value
from softfx.ops.spelling import SPOKEN
from softfx.report.mathematics import NOTATION, limit, notation
from softfx.rules import RULES
from softfx.rules.barriers import INSTEAD
from softfx.rules.rule import Barrier, Rule
from softfx.rules.soft_operator import default_of
from softfx.vocabulary import FAMILY_MEANINGS

__all__ = ["handbook", "rule_data", "rule_facts", "rules_page"]


def handbook(rules: Iterable[Rule]) -> list[Entry]:
    """The entries of these rules, by code."""
    in_order = sorted(rules, key=lambda rule: rule.code)
    return [
        Entry(rule.code, rule.name, rule.family, _becomes(rule), tuple(rule_facts(rule)), rule_data(rule))
        for rule in in_order
    ]


def rule_facts(rule: Rule) -> list[tuple[str, str]]:
    """The facts about one operation, in the order in which they are shown."""
    facts = [
        ("family", f"{rule.family}: {rule.note or FAMILY_MEANINGS[rule.family]}"),
        ("why", rule.why),
        ("becomes", _becomes(rule)),
        ("flows into", _consumers(rule)),
        ("instead", INSTEAD[rule.barrier] if rule.barrier else ""),
        ("formula", rule.formula),
        ("where", notation(rule.formula)),
        ("limit", limit(rule)),
        ("options", ", ".join(_with_default(rule, option) for option in rule.options) or "none"),
        ("derivative", _derivatives(rule)),
        ("keep it", rule.keep),
        ("also", ", ".join(_further_names(rule))),
        ("source", rule.reference),
        ("policy", _example(rule)),
    ]
    return [(name, text) for name, text in facts if text]


def _with_default(rule: Rule, option: str) -> str:
    """An option, with the value that the soft operator gives it by default."""
    default = default_of(rule, option)
    return option if default is None else f"{option} = {_toml(default)}"


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


def _derivatives(rule: Rule) -> str:
    """The estimators from which a straight-through site may take its derivative."""
    if rule.family in ("selection", "unsafe"):
        return ""
    usual = () if rule.family == "control" else ("soft",)
    return "estimator = " + " or ".join(f'"{name}"' for name in (*usual, *rule.estimators))


def _becomes(rule: Rule) -> str:
    if rule.family == "selection":
        return rule.soft or "its soft form when a soft value reaches it" if not rule.barrier else "always hard"
    if rule.family == "control":
        return f"{rule.soft} (the program's own value, with a derivative)"
    shape = "same shape and dtype" if rule.drop_in else "a soft value that is carried on to its consumers"
    return f"{rule.soft} ({shape})" if rule.soft else "stays hard"


def _further_names(rule: Rule) -> list[str]:
    """What reports call it, and how else it is written."""
    spoken = SPOKEN.get(rule.operation)
    return [*([spoken] if spoken else []), *rule.aliases]


_UP_TO: dict[Barrier, str] = {
    "branch": "a branch of Python",
    "number": "a number that Python reads",
    "shape": "a shape",
}


def _consumers(rule: Rule) -> str:
    """What takes the soft value of a rule, and what does not; nothing for one whose result is a real number."""
    if not rule.soft or rule.drop_in or not rule.decides or rule.family not in ("discrete", "random"):
        return ""
    takers = sum(each.propagate is not None for each in RULES.values())
    ends = ", ".join(
        f"{meaning} ({', '.join(_names(each for each in RULES.values() if each.barrier == barrier))})"
        for barrier, meaning in _UP_TO.items()
    )
    return (
        f"the {takers} operations that hand soft values on, until a real number is reached: look-ups, writes, "
        f"comparisons, logic, arithmetic, reductions and moves. Not into {ends}, a call that leaves torch, or an "
        "operation without a rule, each of which gets the hard value."
    )


def _names(rules: Iterable[Rule]) -> list[str]:
    return [SPOKEN.get(rule.operation, rule.name) for rule in rules]


def _example(rule: Rule) -> str:
    if rule.family == "selection":
        return ""
    action = {"unsafe": "guard", "control": "straight_through"}.get(rule.family, "soft")
    lines = ["[[rule]]", f'op = "{rule.name}"', f'action = "{action}"']
    lines += ["softness = 0.1"] if "softness" in rule.options and action == "soft" else []
    return "\n".join(lines)


def rule_data(rule: Rule) -> dict[str, Value]:
    """One operation as JSON-ready data."""
    return {
        "code": rule.code,
        "op": rule.name,
        "family": rule.family,
        "why": rule.why,
        "formula": rule.formula,
        "limit": limit(rule),
        "estimators": ["soft", *rule.estimators],
        "keep": rule.keep,
        "soft": rule.soft,
        "options": list(rule.options),
        "aliases": _further_names(rule),
        "source": rule.reference,
        "drop_in": rule.drop_in,
    }


def rules_page(rules: Sequence[Rule]) -> str:
    """The table as a page of documentation: by family, the soft form of each operation and its formula."""
    lines = ["# Rules", "", "Every operation that softfx knows. `softfx explain NAME` says more of one.", ""]
    lines += [f"In the formulas {'; '.join(NOTATION.values())}.", ""]
    for family, meaning in FAMILY_MEANINGS.items():
        members = sorted((rule for rule in rules if rule.family == family), key=lambda rule: rule.code)
        lines += [f"## {family}", "", f"{meaning[0].upper()}{meaning[1:]}", ""]
        if family == "selection":
            lines += [", ".join(f"`{rule.name}`" for rule in members) + ".", ""]
            continue
        lines += ["| code | operation | becomes | formula | options | estimators |", "|---|---|---|---|---|---|"]
        for rule in members:
            estimators = ", ".join(rule.estimators)
            options = ", ".join(rule.options)
            cells = (rule.code, f"`{rule.name}`", rule.soft, f"`{rule.formula}`", options, estimators)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines += ["", *(f"`{rule.name}`: {rule.note}\n" for rule in members if rule.note)]
    return "\n".join(lines)
