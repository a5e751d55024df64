"""What stands for many: sites that share a line, the names of their modules, and what was measured of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from softfx.report import Report
from softfx.report.page import notebook, page
from softfx.report.page.measured import measured_of
from softfx.report.page.view import view
from tests.softfx.fakes import full_report, site
from tests.softfx.report.page.test_page import Reader, report_of


def text_of(html: str) -> str:
    return " ".join(Reader(html).text.split())


def shared(tmp_path: Path, count: int, **measured: Any) -> dict[str, Any]:
    """A line of `count` layers, each with a softness, a reason and measured numbers of its own."""
    path = tmp_path / "shared.py"
    path.write_text("def f(x):\n    return x.argmax()\n")
    sites = [
        site(i, "argmax", "straight_through", str(path), 2, "return x.argmax()", module=f"layers.{i}",
             mode="smooth", softness=0.1 + i, reason=f"0.2 x spread {i}", unit=f"0.2 x spread {i}")
        for i in range(count)
    ]  # fmt: skip
    report = Report("m:f", "eager", sites=sites)
    report.starved = [f"layers.{i}.weight" for i in range(count)]
    report.upstream = {f"layers.{i}.weight": [i] for i in range(count)}
    data = report.to_dict()
    for each in data["sites"]:
        each["measured"] = {"before": 0.0, "after": 1.0 + each["id"], "agreement": 0.5, "verdict": "good", **measured}
    return data


def test_a_row_for_many_sites_gives_the_range_of_what_was_measured_and_of_the_softness(tmp_path: Path) -> None:
    (entry,) = view(shared(tmp_path, 3)).entries
    assert entry.seen is not None
    assert (entry.seen.before, entry.seen.after, entry.seen.agreement) == ("0", "1 .. 3", "0.5")
    assert (entry.seen.verdict, entry.words) == ("good", "mode smooth, softness 0.1 to 2.1")
    assert "softness 0.1 to 2.1" in str(Report("m", "eager", sites=list(entry.group.sites)))


def test_of_many_names_the_first_few_are_shown_and_the_others_are_folded(tmp_path: Path) -> None:
    html = page(shared(tmp_path, 100))
    text = text_of(html)
    assert "100 sites, discrete" in text
    assert "layers.6, layers.7 and 92 more" in text
    assert '<p>0.2 x spread 2</p> <details class="more"><summary>and 97 more' in html
    assert "and 96 more" in text  # what was measured of each
    assert view(shared(tmp_path, 12)).modules[1:3] == ("layers.1", "layers.2")
    (line,) = [tag for tag, attributes in Reader(html).elements if attributes.get("id") == "shared-2"]
    assert line == "details"


def test_what_is_read_beside_a_verdict_is_separated_from_it(tmp_path: Path) -> None:
    assert "argmax straight-through discrete" in text_of(page(report_of(tmp_path).to_dict()))


@pytest.mark.parametrize("character", ["\x1b[31m", "\u202e", "\x0c", "\x00", "א"])
def test_a_line_with_a_character_that_is_not_shown_is_found_in_its_file(tmp_path: Path, character: str) -> None:
    line = f"    return x.argmax()  # {character}!"
    path = tmp_path / "hostile.py"
    path.write_text(f"def f(x):\n    y = x\n{line}\n", encoding="utf-8")
    report = Report("m:f", "eager", sites=[site(0, "argmax", "keep", str(path), 3, line.strip())])
    assert "y = x" in Reader(page(report.to_dict())).text


def test_commands_in_the_next_steps_are_code() -> None:
    html = page(full_report().to_dict())
    assert "<code>softfx policy init TARGET</code>" in html and "`" not in Reader(html).text


def test_the_help_names_every_mark_of_the_gutter(tmp_path: Path) -> None:
    html = page(report_of(tmp_path).to_dict())
    letters = dict(re.findall(r"\.hit\.(\w+) > summary::before \{ content: \"(.)\"", html))
    help_text = html[html.index('<dialog id="help">') : html.index("</dialog>")]
    assert len(letters) == 7
    assert set(re.findall(r"<kbd>(\S)</kbd></dt><dd>", help_text)) >= set(letters.values())


@pytest.mark.parametrize(
    ("margins", "one", "within"),
    [([0.0, 2.0], 0.5, 0.5), ([0.1, 0.2], None, 1.0), ([3.0, 4.0], None, 0.0), ([-0.5, -3.0], None, 0.5)],
)
def test_a_histogram_says_where_one_softness_lies(margins: list[float], one: float | None, within: float) -> None:
    histogram = measured_of("m", {"margins": margins}).margins
    assert histogram is not None
    assert (histogram.one, histogram.within) == (one, within)


def test_a_notebook_shows_the_first_lines_of_many_and_where_the_others_are(tmp_path: Path) -> None:
    lines = [f"y = x.argmax({i})" for i in range(300)]
    path = tmp_path / "many.py"
    path.write_text("\n".join(lines))
    sites = [site(i, "argmax", "soft", str(path), i + 1, line) for i, line in enumerate(lines)]
    html = notebook(Report("m:f", "eager", sites=sites).to_dict())
    assert html.count("<details") < 100 and len(html) < 50_000
    assert "and 240 lines more: report.to_html() shows all." in text_of(html)


def test_a_notebook_has_the_words_of_the_other_formats(tmp_path: Path) -> None:
    text = text_of(notebook(shared(tmp_path, 3)))
    assert "No gradient at all in the original: layers.*.weight (3 of them)" in text
    assert "0.2 x spread 0, and 2 more like this" in text and "softness 0.1 to 2.1" in text
    assert "`" not in text and "> return x.argmax()" not in text
