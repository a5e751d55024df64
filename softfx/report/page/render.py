"""The templates filled. All text is escaped by Jinja2; the one script may run by its hash, and no other one.

The report's JSON stands in the page as a block of data that no browser runs, so that programs can read the page, too.
"""

from __future__ import annotations

import base64
import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import torch
from markupsafe import Markup

from softfx.report.page.view import view
from softfx.report.shown import json_text
from softfx.report.words import ACTION_WORDS, STARVED
from softfx.visible import visible
from softtorch.version import installed_version

__all__ = ["notebook", "page"]

_FOLDER = Path(__file__).parent / "templates"
_MOST = 60  # lines of a file that a notebook shows: it keeps what it shows in its own file
# The letters of the gutter, as page.css has them.
_MARKS = (
    *zip("STGKB", ACTION_WORDS.values(), strict=True),
    ("|", "a break: what no single graph holds"),
    ("/", "a cut: where the program itself ends a gradient"),
)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(data: Mapping[str, Any], *, diff: str | None = None, kind: str = "check") -> str:
    """The report as one HTML file.

    Args:
        data: what `Report.to_dict` returned; a site may have the key "measured" (see `softfx.report.page.view`).
        diff: the code before and after, as a unified diff, to show above the sites.
        kind: the command whose page it is: "check", "audit", "diff" or "policy show".

    >>> from softfx.report import Report
    >>> print(page(Report("m:f", "eager").to_dict())[:15])
    <!doctype html>
    """
    style, script = (Markup((_FOLDER / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    embedded = dict(data) if diff is None else {**data, "diff": diff}
    shown = view(data)
    return _environment().get_template("page.html").render(
        view=shown,
        diff=None if diff is None else _diff_lines(diff),
        kind=kind,
        unreached=STARVED,
        marks=_MARKS,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=_inert(embedded),
        filters=_inert({str(entry.number): entry.filters for entry in shown.entries}),
        versions=(
            ("softfx", installed_version() or "not installed"),
            ("torch", torch.__version__),
            ("Python", platform.python_version()),
        ),
    )  # fmt: skip


def notebook(data: Mapping[str, Any]) -> str:
    """The report as a small piece of HTML without a script, for a cell of a notebook."""
    style = Markup((_FOLDER / "notebook.css").read_text(encoding="utf-8"))
    return (
        _environment().get_template("notebook.html").render(view=view(data), style=style, unreached=STARVED, most=_MOST)
    )


def _inert(value: object) -> Markup:
    """JSON that can end no element and begin none: what HTML reads is written as JSON's own escapes."""
    text = json_text(value, indent=None)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _diff_lines(text: str) -> list[tuple[str, str]]:
    """The lines of a unified diff, each with the name of its colour."""
    kinds = {"+": "added", "-": "removed", "@": "hunk"}
    return [
        ("file" if line.startswith(("+++ ", "--- ")) else kinds.get(line[:1], ""), visible(line.expandtabs(4)))
        for line in text.splitlines()
    ]
