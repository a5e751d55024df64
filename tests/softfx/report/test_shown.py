"""What third parties put into names, paths, source lines and messages reaches no terminal and no page as it is."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import torch

import softfx
from softfx.cli.policy_file import policy_text
from softfx.decisions.policy import Policy
from softfx.errors import SoftfxError
from softfx.report import Report, terminal
from softfx.report.markdown import report_markdown
from softfx.report.record import Break, Consumer
from softfx.report.sarif import report_sarif
from softfx.report.shown import json_text, shown
from softfx.report.text import report_text
from softfx.visible import visible
from tests.softfx.fakes import full_report

HOSTILE = {
    "a window title": "\x1b]0;owned\x07",
    "a cleared screen": "\x1b[2J",
    "C1 controls": "\x9b31m\x90",
    "a carriage return": "\r0 sites.",
    "a backspace": "\x08\x7f",
    "a bidirectional override": "\u202e\u2066\u2069\u200f",
    "no width": "\u200b\u2060\ufeff\u00ad",
    "tags": "\U000e0041\ufe0f",
    "fillers": "\u3164\u115f",
    "other line ends": "\x0b\x0c\x85\u2028\u2029",
    "no text at all": "\udc80",
    "NUL": "\x00",
    "a heading": "\n# heading",
    "a row": "\n| a | b |",
    "a fence": "\n```\n",
}


def hostile_report(text: str) -> Report:
    """A report with `text` in every place where third parties have a say."""
    report = full_report()
    sites = [
        replace(
            site,
            module=f"m{text}",
            file=f"/elsewhere/f{text}.py",
            source=f"x.round()  # {text}",
            reason=f"because {text}",
            decided_by=f"p{text}.toml:3",
            consumers=[Consumer(f"op{text}", f"/elsewhere/g{text}.py", 1, "hard")],
        )
        for site in report.sites
    ]
    breaks = [Break(f"it reads {text}", f"/elsewhere/h{text}.py", 3)]
    return replace(report, target=f"t{text}", why_frontend=f"why {text}", breaks=breaks, sites=sites, starved=[text])


def rich(report: Report) -> str:
    file = io.StringIO()
    terminal.show(terminal.report_view(report), file, 400)
    return file.getvalue()


FORMATS: dict[str, Callable[[Report], str]] = {
    "text": report_text,
    "str": str,
    "rich": rich,
    "markdown": report_markdown,
    "sarif": report_sarif,
    "json": lambda report: json_text(report.to_dict()),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", FORMATS)
def test_no_format_passes_on_what_is_no_plain_text(kind: str, name: str) -> None:
    text = FORMATS[kind](hostile_report(HOSTILE[name]))
    assert text == visible(text, keep="\n")
    text.encode()


@pytest.mark.parametrize("kind", ["text", "rich", "markdown"])
def test_a_line_break_in_a_name_begins_no_line(kind: str) -> None:
    for line in FORMATS[kind](hostile_report("\n# heading")).splitlines():
        assert not line.startswith("# heading")


@pytest.mark.parametrize("kind", FORMATS)
def test_each_text_is_still_to_be_recognised(kind: str) -> None:
    assert "owned" in FORMATS[kind](hostile_report(HOSTILE["a window title"]))


def test_words_of_every_script_are_shown_as_they_are() -> None:
    words = "größer 大きい больше أكبر\u3000\xa0é ∀"
    assert visible(words) == words


# -- markdown ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["a | b", r"r'a\|b'", r"a \\| b", "`", "``` x", "` a ``", "a\\", "<b>&amp;"])
def test_a_row_of_a_table_keeps_its_cells(source: str) -> None:
    report = full_report()
    report.sites = [replace(report.sites[3], source=source)]
    (row,) = [line for line in report_markdown(report).splitlines() if line.startswith("| 20")]
    cells, escaped = 0, False
    for character in row:  # a bar ends a cell unless a backslash stands before it that no other one escapes
        cells += character == "|" and not escaped
        escaped = character == "\\" and not escaped
    assert cells == 7, row


def test_markup_in_sentences_is_shown_and_does_nothing() -> None:
    report = replace(full_report(), why_frontend="<img src=x> [a](http://b) *c* `d` _e_ snake_case")
    text = report_markdown(report)
    assert r"\<img src=x\> \[a\](http://b) \*c\* \`d\` \_e\_ snake_case" in text


# -- sarif -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a b#c%41.py", "é?.py", "a:b.py", "x\ny.py", "[a].py", "\udc80.py"])
@pytest.mark.parametrize("below", [True, False])
def test_a_path_of_sarif_is_a_uri_of_that_file(name: str, below: bool) -> None:
    report = full_report()
    folder = Path.cwd() if below else Path("/elsewhere")
    report.sites = [replace(report.sites[0], file=str(folder / name))]
    result = json.loads(report_sarif(report))["runs"][0]["results"][0]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri.isascii() and not set(uri) & set(" #?[]\n")
    assert ":" not in uri.removeprefix("file://")
    expected = name if below else f"file:///elsewhere/{name}"
    assert unquote(uri, errors="surrogateescape") == expected


def test_a_message_of_sarif_holds_no_link() -> None:
    run = json.loads(report_sarif(hostile_report("[here](http://elsewhere)")))["runs"][0]
    assert all("](" not in result["message"]["text"] for result in run["results"])


# -- json --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_is_json_whatever_the_softness(number: float) -> None:
    report = full_report()
    report.sites = [replace(report.sites[0], softness=number)]

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is no JSON")

    for text in (json_text(report.to_dict()), report_sarif(report)):
        json.loads(text, parse_constant=refuse)
    assert json.loads(json_text(report.to_dict()))["sites"][0]["softness"] is None


# -- errors, policies, diffs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_an_error_shows_names_escaped(name: str) -> None:
    text = str(SoftfxError(f"{HOSTILE[name]}: it is wrong"))
    assert text == visible(text, keep="\n\t")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_policy_that_is_written_for_hostile_names_loads(name: str, tmp_path: Path) -> None:
    text = policy_text(hostile_report(HOSTILE[name]))
    path = tmp_path / "policy.toml"
    path.write_text(text)
    assert text == visible(text, keep="\n")
    entries = Policy.load(str(path)).entries
    assert all(any(entry.matches(site) for entry in entries) for site in hostile_report(HOSTILE[name]).sites)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_diff_shows_source_lines_escaped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import linecache

    source = "def program(x):\n    return x.round()\n"
    names: dict[str, Any] = {}
    exec(compile(source, "hostile.py", "exec"), names)
    lines = [f"{line}  # {HOSTILE[name]}" for line in source.splitlines()]
    monkeypatch.setitem(linecache.cache, "hostile.py", (len(source), None, lines, "hostile.py"))
    text = softfx.diff(names["program"], "smooth", example_inputs=(torch.ones(2),))
    assert text == visible(text, keep="\n")
    assert "softtorch.round" in text


def test_shown_leaves_the_report_as_it_is() -> None:
    report = hostile_report("\x1b")
    shown(report)
    assert report == hostile_report("\x1b")
