"""The page as text: what stands in it, and that nothing of others' text is markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from softfx.report import Report
from softfx.report.page import notebook, page
from softfx.report.page.listing import functions, marked
from softfx.report.record import Break, Consumer
from tests.softfx.fakes import empty_report, full_report, site

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{ 7 * 7 }}{% raw %}&lt;\u202e\x1b[2J"

SOURCE = '''\
import torch

LIMIT = torch.tensor(0.5) > 0.1


class Router(torch.nn.Module):
    def forward(self, scores):
        """Route."""
        # one
        # two
        # three
        # four
        # five
        index = scores.argmax(-1)
        picked = torch.where(scores > 0, scores, index)
        return picked


def other(x):
    return x
'''


def report_of(tmp_path: Path, name: str = "router.py") -> Report:
    """Sites in a file that is there: a comparison outside of functions, and two in a method."""
    path = tmp_path / name
    path.write_text(SOURCE)
    file = str(path)
    lines = SOURCE.splitlines()
    uses = [Consumer("where", file, 15, "soft"), Consumer("getitem", "/elsewhere.py", 3, "hard")]
    sites = [
        site(0, "gt", "keep", file, 3, lines[2]),
        site(
            1, "argmax", "straight_through", file, 14, lines[13].strip(), module="router", consumers=uses, softness=0.1
        ),
        site(2, "gt", "blocked", file, 15, lines[14].strip(), module="router", reason="item reads it"),
    ]
    report = Report("m:f", "eager", breaks=[Break("a branch", file, 16)], cuts=[Break("detach", file, 14)], sites=sites)
    report.starved, report.upstream, report.gained = ["gate.weight"], {"gate.weight": [1]}, ["gate.weight"]
    return report


class Reader(HTMLParser):
    """The elements of a page with their attributes, and its text outside of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._within = "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._within = tag

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within not in ("script", "style"):
            self.text += data

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]


def embedded(html: str) -> Any:
    match = re.search(r'<script type="application/json" id="softfx-report">(.*?)</script>', html, re.DOTALL)
    assert match is not None
    return json.loads(match[1])


def test_the_page_is_a_machine_format_too() -> None:
    data = full_report().to_dict()
    assert embedded(page(data)) == data
    assert embedded(page(data, diff="+a\n-b"))["diff"] == "+a\n-b"


def test_functions_that_hold_a_site_are_shown_with_the_rest_folded(tmp_path: Path) -> None:
    reader = Reader(page(report_of(tmp_path).to_dict()))
    assert "Router.forward" in reader.text
    assert "... 4 lines" in reader.text
    assert "def other" not in reader.text
    assert {"router-3", "router-14", "router-15", "router-16"} <= set(reader.ids)


def test_every_anchor_that_is_linked_is_there_and_is_there_once(tmp_path: Path) -> None:
    reader = Reader(page(report_of(tmp_path).to_dict()))
    assert len(set(reader.ids)) == len(reader.ids)
    links = {str(attributes["href"]) for tag, attributes in reader.elements if tag == "a"}
    assert {link[1:] for link in links} <= set(reader.ids)
    assert "#router-15" in links  # the line of a consumer


def test_files_with_one_name_have_anchors_of_their_own(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first, second = report_of(tmp_path / "a"), report_of(tmp_path / "b")
    first.sites += [site(3 + each.id, each.op, each.action, each.file, each.line, each.source) for each in second.sites]
    ids = Reader(page(first.to_dict())).ids
    assert len(set(ids)) == len(ids)
    assert {"router-14", "router-f2-14"} <= set(ids)


def test_a_parameter_leads_to_the_site_that_cuts_it(tmp_path: Path) -> None:
    html = page(report_of(tmp_path).to_dict())
    (item,) = re.findall(r"<li><code>gate.weight.*?</li>", html, re.DOTALL)
    assert "has one now" in item
    assert 'href="#router-14"' in item


def test_a_file_that_is_another_by_now_is_not_taken_for_it(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    (tmp_path / "router.py").write_text("# a line more\n" + SOURCE)
    import linecache

    linecache.checkcache()
    (function,) = functions(report.sites[0].file, {each.line: each.source for each in report.sites})
    assert function.name == ""
    assert [line.text for stretch in function.stretches for line in stretch.lines] == [
        each.source for each in report.sites
    ]


@pytest.mark.parametrize(
    "broken", ["def f(:\n    return x.argmax()\n", "x = '\n" * 3, "(" * 5000 + "\nx.argmax()\n", "\0\nx.argmax()\n"]
)
def test_source_that_is_no_python_is_shown_by_its_lines(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(broken)
    (function,) = functions(str(path), {2: broken.splitlines()[1]})
    assert function.name == ""


@pytest.mark.parametrize(
    ("text", "operation", "mark"),
    [
        ("y = x.topk(3)[0]", "topk", "topk"),
        ("y = torch.greater(x, 0)", "gt", "greater"),
        ("y = x > 0 and x >= 1", "gt", ">"),
        ("y = x >= 1", "ge", ">="),
        ("x.round_()", "round", "round_"),
        ("def f(x) -> int: return x > 0", "gt", ">"),
        ("y = x // 2", "floor_divide", "//"),
        ("background(x)", "round", ""),
        ("y = f(x)", "argmax", ""),
    ],
)
def test_the_operation_is_marked_in_its_line(text: str, operation: str, mark: str) -> None:
    pieces = marked(text, [operation])
    assert "".join(piece for piece, _ in pieces) == text
    assert [piece for piece, is_operation in pieces if is_operation] == ([mark] if mark else [])


def hostile_report() -> Report:
    """A report all of whose texts try to be markup."""
    report = full_report()
    report.target = report.why_frontend = report.policy = HOSTILE
    report.starved = [HOSTILE]
    for each in report.sites:
        each.module = each.source = each.decided_by = each.reason = each.file = HOSTILE
        each.mode = each.method = HOSTILE
        each.consumers = [Consumer(HOSTILE, HOSTILE, 3, "hard")]
    report.breaks = report.cuts = [Break(HOSTILE, HOSTILE, 3)]
    return report


@pytest.mark.parametrize("kind", ["page", "diff", "notebook", "measured"])
def test_no_text_of_others_is_markup(kind: str) -> None:
    data = hostile_report().to_dict()
    if kind == "measured":
        data["sites"][0]["measured"] = {"verdict": HOSTILE, "suggestion": HOSTILE, "before": 0.0}
    html = notebook(data) if kind == "notebook" else page(data, diff=HOSTILE if kind == "diff" else None)
    reader = Reader(html)
    names = [tag for tag, _ in reader.elements]
    assert "img" not in names
    assert names.count("script") == (0 if kind == "notebook" else 3)
    assert not [name for _, attributes in reader.elements for name in attributes if name.startswith("on")]
    assert "{{ 7 * 7 }}" in reader.text
    assert "\u202e" not in html and "\x1b" not in html
    if kind != "notebook":
        assert embedded(html)["target"] == HOSTILE


def test_what_is_measured_is_shown_and_what_is_not_is_not() -> None:
    data = full_report().to_dict()
    assert "gradient before" not in page(data)
    data["sites"][2]["measured"] = {
        "before": 0.0,
        "after": 0.25,
        "agreement": 0.8,
        "interval": [0.7, 0.9],
        "margins": [0.1, 0.2, 3.0, float("nan")],
        "verdict": "noisy",
    }
    text = " ".join(Reader(page(data)).text.split())
    assert "gradient 0 → 0.25" in text
    assert "agreement 0.8 [0.7, 0.9]" in text
    assert "verdict noisy" in text
    assert "0.1 .. 3" in text


def test_the_rule_of_a_site_is_a_policy_that_changes_it(tmp_path: Path) -> None:
    from softfx.decisions.policy import Policy

    report = report_of(tmp_path)
    reader = Reader(page(report.to_dict()))
    rules = re.findall(r"\[\[rule\]\]\n(?:\w+ = .*\n)+", reader.text)
    assert len(rules) == len(report.sites)
    for each, rule in zip(report.sites, rules, strict=True):
        path = tmp_path / "policy.toml"
        path.write_text(rule)
        policy = Policy.load(path)
        assert not policy.unmatched([each])
        asked = policy.resolve(
            op=each.op, code=each.code, family=each.family, module=each.module, file=each.file, line=each.line
        )
        assert asked.action != each.action


def test_a_report_without_sites_is_a_page() -> None:
    html = page(empty_report().to_dict())
    assert "Nothing to act on" in html
    assert embedded(html)["sites"] == []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("check", "softfx check --format json writes the same."),
        ("audit", "softfx audit --format json writes the same."),
        ("policy show", "softfx check --format json writes the same."),
        ("diff", "softfx check --format json writes the same, without the diff."),
    ],
)
def test_the_help_names_a_command_that_writes_this_json(kind: str, words: str) -> None:
    html = page(full_report().to_dict(), diff="" if kind == "diff" else None, kind=kind)
    assert words in " ".join(Reader(html).text.split())


def test_a_report_gives_its_page() -> None:
    report = full_report()
    assert report.to_html() == page(report.to_dict())


def test_a_notebook_shows_a_report() -> None:
    html = full_report()._repr_html_()
    assert "package.module:build" in html
    assert "straight-through" in html
