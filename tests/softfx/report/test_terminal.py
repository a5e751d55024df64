"""What is shown in a terminal, at two widths and without colour."""

from __future__ import annotations

import io
import tomllib
from typing import Any

import pytest
from rich.console import Console

from softfx.decisions.policy import Policy
from softfx.handbook.entries import entries
from softfx.handbook.terminal import rule_view, rules_view, show
from softfx.report import terminal as render
from softfx.rules import RULES
from tests.softfx.fakes import empty_report, full_report

WIDTHS = pytest.mark.parametrize("width", [80, 120])


def shown(view: Any, width: int) -> str:
    file = io.StringIO()
    show(view, file=file, width=width)
    return file.getvalue()


@WIDTHS
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    views = [
        render.report_view(full_report()),
        render.report_view(empty_report()),
        rules_view(entries()),
        *(rule_view(entry) for entry in entries()),
        render.decisions_view([(site, "router.py:1", "mode smooth") for site in full_report().sites]),
    ]
    for view in views:
        assert max(map(len, shown(view, width).splitlines())) <= width


REPORT_80 = """\
package.module:build
Seen by torch's compiler front end (dynamo), as 2 graphs.
One graph cannot hold the call.
The softened target runs the original's Python.

pkg/router.py ──────────────────────────────────────────────────────────────────
   98 │ mask = scores > self.threshold
      │ CODE gt  straight-through
      │   in layers.0.router
      │   mode smooth, softness 0.1; decided by preset gradients
      │   cut: nonzero at pkg/router.py:101 takes only the hard value
  107 │ weights, index = torch.topk(router_logits, self.top_k, dim=-1)  #
      │ [tokens, k]
      │ SX206 topk  soft  2 sites
      │   in layers.0.router, layers.1.router
      │   mode smooth, method lapsum, softness 0.05; decided by policy.toml:14
      │   [[rule]] 2

pkg/layers/feed_forward.py ─────────────────────────────────────────────────────
"""


def test_the_report_at_80_columns_is_this() -> None:
    assert shown(render.report_view(full_report()), 80).startswith(REPORT_80.replace("CODE", RULES["gt"].code))


@WIDTHS
def test_a_whole_path_and_every_section_are_there(width: int) -> None:
    text = shown(render.report_view(full_report()), width)
    for part in (
        "Breaks: what no single graph holds",
        "No gradient at all in the original",
        "What the operations do to the gradient",
    ):
        assert part in text
    assert "6 sites: 2 soft, 1 straight-through, 1 guarded, 1 kept, 1 blocked." in text


def test_square_brackets_of_the_source_are_not_taken_for_markup() -> None:
    report = full_report()
    report.sites[2].source = "x[bold] = y[/bold]"
    assert "x[bold] = y[/bold]" in shown(render.report_view(report), 80)


def test_the_page_of_a_rule_shows_a_policy_entry_that_loads() -> None:
    for entry in entries():
        facts = dict(entry.facts)
        assert ("[[rule]]" in shown(rule_view(entry), 80)) == (entry.family != "selection")
        if "policy" in facts:
            assert Policy.load(tomllib.loads(facts["policy"])).entries[0].operations == {entry.name}


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_the_table_of_rules_cuts_no_name_of_an_operation_a_function_or_an_option(width: int) -> None:
    text = shown(rules_view(entries()), width)
    words = set(text.replace(",", " ").split())
    for entry in entries():
        assert {entry.code, entry.name, entry.family, *entry.texts("options")} <= words, entry


@pytest.mark.parametrize("show_it", [render.show_code, render.show_diff])
def test_code_is_never_wrapped(show_it: Any) -> None:
    file = io.StringIO()
    lines = [f"+    value = function({'argument, ' * 30})", "", "    return value"]
    show_it("\n".join(lines), file=file, width=40)
    assert file.getvalue().splitlines() == lines


def test_colour_is_for_terminals_only() -> None:
    assert "\x1b" not in shown(render.report_view(full_report()), 80)
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system="standard")
    console.print(render.report_view(full_report()))
    assert "\x1b" in console.file.getvalue()  # type: ignore[attr-defined] # it is the StringIO above


def test_progress_is_silent_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with render.progress("capturing"):
        pass
    assert capsys.readouterr() == ("", "")


def test_progress_stays_silent_in_a_terminal_while_work_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with render.progress("capturing"):
        pass
    assert "capturing" not in terminal.getvalue()


def test_progress_tells_in_a_terminal_that_work_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(render, "_PATIENCE", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    with render.progress("capturing"):
        for _ in range(1000):
            if "capturing" in terminal.getvalue():
                break
            __import__("time").sleep(0.005)
    assert "capturing" in terminal.getvalue()
