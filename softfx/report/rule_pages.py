"""Pages about the rule table: one operation, or all of them, as facts (name, text), as text, markdown or JSON.

Everything on a page is read from the rule's record and from the signature of its soft operator.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from softfx.report.mathematics import NOTATION, limit, notation
from softfx.rules.rule import Family, Rule
from softfx.rules.soft_operator import default_of

__all__ = ["FAMILY_MEANINGS", "page_text", "rule_data", "rule_facts", "rules_markdown", "rules_page", "rules_text"]

_COLUMN = 12  # the longest name of a fact, and two spaces

FAMILY_MEANINGS: dict[Family, str] = {
    "discrete": "chooses, counts or rounds: the gradient is zero or does not exist. Acted on by default.",
    "kink": "differentiable almost everywhere; the derivative jumps at single points. Kept unless named.",
    "selection": "uses what a decision gave. Never a site: it follows what reaches it.",
    "random": "draws at random: no gradient with respect to what it draws by. Kept unless named.",
    "normalization": "smooth, and replaced only where a policy names it: softmax by softpick.",
    "control": "Python goes by the value. Runs with the decision turned round give a derivative. Kept unless named.",
    "unsafe": "its gradient is infinite or NaN somewhere. Guarded by default, which changes no value.",
}


def rule_facts(rule: Rule) -> list[tuple[str, str]]:
    """The facts about one operation, in the order in which they are shown."""
    facts = [
        ("family", f"{rule.family}: {rule.note or FAMILY_MEANINGS[rule.family]}"),
        ("why", rule.why),
        ("becomes", _becomes(rule)),
        ("formula", rule.formula),
        ("where", notation(rule.formula)),
        ("limit", limit(rule)),
        ("options", ", ".join(_with_default(rule, option) for option in rule.options) or "none"),
        ("derivative", _derivatives(rule)),
        ("keep it", rule.keep),
        ("also", ", ".join(rule.aliases)),
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


def _example(rule: Rule) -> str:
    if rule.family == "selection":
        return ""
    action = {"unsafe": "guard", "control": "straight_through"}.get(rule.family, "soft")
    lines = ["[[rule]]", f'op = "{rule.name}"', f'action = "{action}"']
    lines += ["softness = 0.1"] if "softness" in rule.options and action == "soft" else []
    return "\n".join(lines)


def rule_data(rule: Rule) -> dict[str, str | bool | list[str]]:
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
        "aliases": list(rule.aliases),
        "source": rule.reference,
        "drop_in": rule.drop_in,
    }


def page_text(title: str, facts: Iterable[tuple[str, str]], width: int) -> str:
    """A page of facts as plain text."""
    lines = [title, ""]
    indent = " " * _COLUMN
    for name, text in facts:
        parts = [textwrap.wrap(part, width - _COLUMN, break_long_words=False) for part in text.splitlines()]
        block = textwrap.indent("\n".join(line for part in parts for line in part), indent)
        lines.append(name.ljust(_COLUMN) + block.removeprefix(indent))
    return "\n".join(lines)


def rules_text(rules: Sequence[Rule]) -> str:
    """All operations in columns, one a line."""
    width = max((len(rule.name) for rule in rules), default=0)
    lines = (f"{rule.code}  {rule.name:<{width}}  {rule.family:<9}  {_becomes(rule)}" for rule in rules)
    return "\n".join(lines)


def rules_markdown(rules: Sequence[Rule]) -> str:
    """All operations as a markdown table."""
    lines = ["| code | operation | family | becomes | options |", "|---|---|---|---|---|"]
    for rule in rules:
        cells = (rule.code, f"`{rule.name}`", rule.family, _becomes(rule), ", ".join(rule.options))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


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
