"""Pages about the rule table: one operation, all operations. Facts as (name, text), and as text."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import softtorch
from softfx.report.mathematics import formula, limit
from softfx.rules.rule import Rule

__all__ = ["FAMILY_MEANINGS", "page_text", "rule_data", "rule_facts", "rules_markdown", "rules_page", "rules_text"]

_NOTATION = (
    "In the formulas s is the softness, x and y the operands, sigma the step of the mode (`smooth`: the logistic "
    "function; `c0`, `c1`, `c2`: piecewise polynomials, 0 and 1 from five softnesses on), rows of P distributions."
)
_COLUMN = 12  # the longest name of a fact, and two spaces

FAMILY_MEANINGS = {
    "discrete": "chooses, counts or rounds: the gradient is zero or does not exist. Acted on by default.",
    "kink": "differentiable almost everywhere; the derivative jumps at single points. Kept unless named.",
    "selection": "uses what a decision gave. Never a site: it follows what reaches it.",
    "random": "draws at random: no gradient with respect to what it draws by. Kept unless named.",
    "normalization": "smooth, and replaced only where a policy names it: softmax by softpick.",
    "unsafe": "its gradient is infinite or NaN somewhere. Guarded by default, which changes no value.",
}
# What is not treated as its family is.
_ALONE = {"existing_straight_through": "the program's own answer to such an operation. Kept unless named."}


def rule_facts(rule: Rule) -> list[tuple[str, str]]:
    """What there is to say about one operation."""
    facts = [
        ("family", f"{rule.family}: {_ALONE.get(rule.op, FAMILY_MEANINGS[rule.family])}"),
        ("why", rule.why),
        ("becomes", _becomes(rule)),
        ("formula", formula(rule)),
        ("limit", limit(rule)),
        ("options", ", ".join(_with_default(rule, option) for option in rule.options) or "none"),
        ("derivative", _derivatives(rule)),
        ("keep it", rule.keep),
        ("also", ", ".join(rule.aliases)),
        ("source", rule.source),
        ("policy", _example(rule)),
    ]
    return [(name, text) for name, text in facts if text]


def _with_default(rule: Rule, option: str) -> str:
    """An option with the soft operator's own default."""
    package, _, name = rule.soft.partition(".")
    operator = getattr(softtorch, name, None) if package == "softtorch" else None
    parameter = inspect.signature(operator).parameters.get(option) if operator is not None else None
    if parameter is None or parameter.default in (parameter.empty, None):
        return option
    return f"{option} = {_toml(parameter.default)}"


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


def _derivatives(rule: Rule) -> str:
    """What a straight-through site may take its derivative from."""
    if rule.family in ("selection", "unsafe"):
        return ""
    return "estimator = " + " or ".join(f'"{name}"' for name in ("soft", *rule.estimators))


def _becomes(rule: Rule) -> str:
    if rule.family == "selection":
        return rule.soft or "its soft form when a soft value reaches it" if not rule.barrier else "always hard"
    shape = "same shape and dtype" if rule.drop_in else "a soft value that is carried on to its consumers"
    return f"{rule.soft} ({shape})" if rule.soft else "stays hard"


def _example(rule: Rule) -> str:
    if rule.family == "selection":
        return ""
    action = "guard" if rule.family == "unsafe" else "soft"
    lines = ["[[rule]]", f'op = "{rule.op}"', f'action = "{action}"']
    lines += ["softness = 0.1"] if "softness" in rule.options and action == "soft" else []
    return "\n".join(lines)


def rule_data(rule: Rule) -> dict[str, Any]:
    """One operation as JSON-ready data."""
    return {
        "code": rule.code,
        "op": rule.op,
        "family": rule.family,
        "why": rule.why,
        "formula": formula(rule),
        "limit": limit(rule),
        "estimators": ["soft", *rule.estimators],
        "keep": rule.keep,
        "soft": rule.soft,
        "options": list(rule.options),
        "aliases": list(rule.aliases),
        "source": rule.source,
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
    width = max((len(rule.op) for rule in rules), default=0)
    lines = (f"{rule.code}  {rule.op:<{width}}  {rule.family:<9}  {_becomes(rule)}" for rule in rules)
    return "\n".join(lines)


def rules_markdown(rules: Sequence[Rule]) -> str:
    """All operations as a markdown table."""
    lines = ["| code | operation | family | becomes | options |", "|---|---|---|---|---|"]
    for rule in rules:
        cells = (rule.code, f"`{rule.op}`", rule.family, _becomes(rule), ", ".join(rule.options))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rules_page(rules: Sequence[Rule]) -> str:
    """The table as a page of documentation: what each operation becomes, by family, and its formula."""
    lines = ["# Rules", "", "Every operation that softfx knows. `softfx explain NAME` says more of one.", ""]
    lines += [_NOTATION, ""]
    for family, meaning in FAMILY_MEANINGS.items():
        members = sorted((rule for rule in rules if rule.family == family), key=lambda rule: rule.code)
        lines += [f"## {family}", "", f"{meaning[0].upper()}{meaning[1:]}", ""]
        if family == "selection":
            lines += [", ".join(f"`{rule.op}`" for rule in members) + ".", ""]
            continue
        lines += ["| code | operation | becomes | formula | options | estimators |", "|---|---|---|---|---|---|"]
        for rule in members:
            estimators = ", ".join(rule.estimators)
            options = ", ".join(rule.options)
            cells = (rule.code, f"`{rule.op}`", rule.soft, f"`{formula(rule)}`", options, estimators)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines += ["", *(f"`{rule.op}`: {_ALONE[rule.op]}\n" for rule in members if rule.op in _ALONE)]
    return "\n".join(lines)
