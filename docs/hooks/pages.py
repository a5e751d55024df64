"""The pages of the site that are made from something else: rules, command line, API, and pages kept elsewhere.

`generated` gives them all, by their place in docs/. A page that is kept beside its package or at the root of the
project is brought as it is, with its links led to the site's pages.
"""

from __future__ import annotations

import argparse
import inspect
import os
import posixpath
import re
from pathlib import Path
from types import ModuleType

import softtorch
from softfx.cli.arguments import make_parser
from softfx.errors import SoftfxError
from softfx.plots.curves import operator_of
from softfx.report.rule_pages import rule_facts
from softfx.rules import RULES
from softfx.rules.rule import Rule
from softfx.vocabulary import FAMILY_MEANINGS
from softtorch.methods import METHODS

__all__ = ["BROUGHT", "ROOT", "generated", "led"]

ROOT = Path(__file__).parents[2]

# The pages that are kept elsewhere, by their place on the site.
BROUGHT = {
    "reference/policy.md": "softfx/docs/policy.md",
    "reference/softness.md": "softfx/docs/softness.md",
    "concepts/control.md": "softfx/docs/control.md",
    "reference/project.md": "softfx/docs/project.md",
    "reference/formulas.md": "softfx/docs/rules.md",
    "reference/zoo.md": "softfx/docs/zoo.md",
    "reference/methods.md": "softtorch/docs/methods.md",
    "reference/transforms.md": "softtorch/docs/transforms.md",
    "reference/deviations.md": "softtorch/docs/deviations.md",
    "reference/benchmarks.md": "benchmarks/report.md",
    "reference/package.md": "benchmarks/package.md",
    "project/examples.md": "examples/README.md",
    "project/changelog.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/security.md": "SECURITY.md",
}


def generated() -> dict[str, str]:
    """The text of every page that is made, by its place in docs/."""
    pages = {place: _brought(place, source) for place, source in BROUGHT.items()}
    pages["reference/methods.md"] += _method_curves()
    pages["reference/cli.md"] = _command_line()
    pages |= _rules()
    pages |= _operators()
    return pages


# -- pages that are kept elsewhere -------------------------------------------------------------------------------------


def _brought(place: str, source: str) -> str:
    return led((ROOT / source).read_text(), place, source)


def led(text: str, place: str, source: str) -> str:
    """The text of a page that is kept in `source`, with links that lead from `place` on the site."""
    return re.sub(r"\[([^\]]+)\]\(([^)#:\s]+)(#[^)\s]*)?\)", lambda m: _link(place, source, *m.groups()), text)


def _link(place: str, source: str, text: str, target: str, anchor: str | None) -> str:
    """A link to the site's own page of that file; what is no page of the site is named by its path alone."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if posixpath.dirname(source).startswith("docs") and path.startswith("docs/"):
        return f"[{text}]({target}{anchor or ''})"  # from page to page: it is right as it is written
    on_site = {kept: page for page, kept in BROUGHT.items()} | {
        page.relative_to(ROOT).as_posix(): page.relative_to(ROOT / "docs").as_posix()
        for page in ROOT.glob("docs/**/*.md")
    }
    if path not in on_site:
        return f"{text} (`{path}`)" if text.strip("`") != path else f"`{path}`"
    return f"[{text}]({posixpath.relpath(on_site[path], posixpath.dirname(place))}{anchor or ''})"


# -- rules -------------------------------------------------------------------------------------------------------------


def _rules() -> dict[str, str]:
    rules = sorted((rule for rule in RULES.values() if rule.code >= "SX1" and rule.decides), key=lambda rule: rule.code)
    lines = ["# Rules", "", "One page for each operation that may be a site: what it does to the gradient and what", ""]
    lines[2] += (
        " becomes of it. The same text is printed by `softfx explain NAME`. [All formulas on one page](../formulas.md)."
    )
    for family, meaning in FAMILY_MEANINGS.items():
        members = [rule for rule in rules if rule.family == family]
        if not members:
            continue
        lines += [
            f"## {family}",
            "",
            meaning[0].upper() + meaning[1:],
            "",
            "| code | operation | becomes |",
            "|---|---|---|",
        ]
        lines += [
            f"| {rule.code} | [`{rule.name}`]({rule.code}.md) | {rule.soft or 'stays hard'} |" for rule in members
        ]
        lines.append("")
    return {"reference/rules/index.md": "\n".join(lines)} | {
        f"reference/rules/{rule.code}.md": _rule(rule) for rule in rules
    }


def _rule(rule: Rule) -> str:
    lines = [f"# {rule.name}: {rule.code}", ""]
    for name, text in rule_facts(rule):
        if name == "policy":
            lines += ["## In a policy", "", "```toml", text, "```", ""]
        elif name == "formula":
            lines += ["**formula**", "", "```text", text.replace("; ", ";\n"), "```", ""]
        else:
            lines += [f"**{name}**: {_plain(text)}", ""]
    if _has_curve(rule):
        modes = " --modes smooth,c1" if "mode" in rule.options else ""
        command = f"softfx plot {rule.name}{modes} --softness 0.3,0.1 --out {rule.code}.png"
        picture = f"![Value and derivative of {rule.name} for two softnesses]({rule.code}.png)"
        lines += ["## Its curve", "", "```sh", command, "```", "", picture, ""]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text that markdown takes for text."""
    return re.sub(r"([|*<>_\[\]\\])", r"\\\1", text)


def _has_curve(rule: Rule) -> bool:
    try:
        return bool(rule.soft) and "softness" in rule.options and bool(operator_of(rule.name))
    except SoftfxError:
        return False


def _method_curves() -> str:
    """The curves of the methods: of what sorting makes of a row."""
    lines = [
        "",
        "## Curves",
        "",
        "What each method makes of the smallest entry of the row (x, -1/2, 1/2), and its derivative.",
        "",
    ]
    for name, method in METHODS.items():
        operator = "sort" if method.has_values else "topk_mask"
        modes = ",".join(method.modes[:2])
        command = f"softfx plot {operator} --method {name} --modes {modes} --softness 0.3,0.1 --out {name}.png"
        lines += [f"### {name}", "", "```sh", command, "```", "", f"![Curves of {name}]({name}.png)", ""]
    return "\n".join(lines)


# -- the command line --------------------------------------------------------------------------------------------------


def _command_line() -> str:
    """The help of every command, as a terminal of 80 columns has it."""
    columns, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), "80"
    try:
        sections = list(_helps("softfx", make_parser()))
    finally:
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns
    lines = ["# Command line", "", "The help of every command. Exit statuses and targets are the same for all.", ""]
    for name, text in sections:
        lines += [f"## {name}", "", "```text", text.rstrip(), "```", ""]
    return "\n".join(lines)


def _helps(name: str, parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    found = [(name, parser.format_help())]
    for action in parser._actions:
        if isinstance(action.choices, dict):  # commands: other choices are lists
            for word, command in action.choices.items():
                found += _helps(f"{name} {word}", command)
    return found


# -- the operators -----------------------------------------------------------------------------------------------------


def _operators() -> dict[str, str]:
    """A page for each module of operators, with the docstring of each public name."""
    places: dict[str, list[str]] = {}
    for name, value in sorted(vars(softtorch).items()):
        if not name.startswith("_") and not isinstance(value, ModuleType) and (module := _home(value)):
            places.setdefault(module, []).append(name)
    lines = ["# softtorch", "", "Every public name, by subject. [Contracts of the methods](../methods.md), ", ""]
    lines[2] += (
        "[behaviour under transforms](../transforms.md), [where values differ from SoftTorch](../deviations.md)."
    )
    pages = {}
    for module, names in sorted(places.items()):
        subject = module.rpartition(".")[2]
        doc = (inspect.getdoc(__import__(module, fromlist=["_"])) or "").split("\n\n")[0].replace("\n", " ")
        options = "    options:\n      heading_level: 2\n"
        body = "\n".join(f"::: softtorch.{name}\n{options}" for name in names)
        pages[f"reference/softtorch/{subject}.md"] = f"# softtorch: {subject.replace('_', ' ')}\n\n{doc}\n\n{body}"
        lines += [f"- [{subject.replace('_', ' ')}]({subject}.md): " + ", ".join(f"`{name}`" for name in names)]
    return {"reference/softtorch/index.md": "\n".join(lines) + "\n"} | pages


def _home(value: object) -> str | None:
    """The module of softtorch that a public name comes from."""
    module = getattr(inspect.unwrap(value) if callable(value) else value, "__module__", None) or ""
    return module if module.startswith("softtorch.") else None
