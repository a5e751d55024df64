"""The site: every block of its pages runs and prints what the page says, and mkdocs builds it without a warning."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

import softfx
from docs.hooks.blocks import Block, blocks, commands, lay_out, shell
from docs.hooks.pages import BROUGHT, generated
from softfx.cli.arguments import make_parser
from softfx.decisions.policy import Policy
from softfx.decisions.policy.schema import FAMILIES
from softfx.report.record import Break, Consumer, ReportData, Site
from softfx.report.words import ACTION_WORDS, CUTS
from softfx.rules import RULES
from softtorch.methods import METHODS
from tests.packages import imported

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [path.relative_to(DOCS).as_posix() for path in sorted(DOCS.rglob("*.md"))]
PACKAGES = ("vector_quantize_pytorch", "transformers", "torchmetrics", "lightning", "sklearn", "hummingbird")


# -- blocks ------------------------------------------------------------------------------------------------------------


class Runner:
    """Runs the blocks of a page in order, in one folder and one namespace, as a reader would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.namespace: dict[str, Any] = {"__name__": "docs"}
        self.printed = ""
        self.count = 0

    def run(self, block: Block) -> None:
        if block.language == "python":
            self.printed = self._python(block)
        elif block.language == "sh":
            self.printed = "".join(map(self._command, commands(block)))
        elif block.language == "toml":
            path = self.folder / (block.title or "policy.toml")
            path.write_text(block.text)
            assert Policy.load(path).entries
        elif block.language == "json":
            json.loads(block.text)
        elif block.language == "yaml":
            pytest.importorskip("yaml").safe_load(block.text)
        else:
            assert block.language == "text", f"no test knows how to try a block of {block.language}"

    def _python(self, block: Block) -> str:
        """Run from a file, so that reports have its source lines."""
        self.count += 1
        path = self.folder / (block.title or f"example_{self.count}.py")
        path.write_text(block.text)
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(block.text, str(path), "exec"), self.namespace)
        return printed.getvalue()

    def _command(self, line: str) -> str:
        errors = StringIO()
        with redirect_stderr(errors):
            status, printed = shell(line)
        assert status in (0, 1), f"{line}: {errors.getvalue()}"
        return printed


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """A folder to run in, from which modules can be imported; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "90")
    known = set(sys.modules)
    with chdir(tmp_path), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield Runner(tmp_path)
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_runs_and_prints_what_the_page_says(page: str, reader: Runner) -> None:
    """UPDATE_DOCS=1 writes what is printed into the page."""
    text = (DOCS / page).read_text()
    code = "".join(block.text for block in blocks(text) if block.language in ("python", "sh"))
    needed = [name for name in PACKAGES if re.search(rf"\b{name}\b", code)]
    lay_out(text, reader.folder)
    for block in blocks(text):
        if block.title and block.title.endswith(".py"):  # other tests have files of the same names
            sys.modules.pop(Path(block.title).stem, None)
    changes: list[tuple[Block, str]] = []
    with warnings.catch_warnings():
        if needed:
            warnings.simplefilter("ignore")  # of third-party packages
        for name in needed:
            imported(name)
        for block in blocks(text):
            if block.title == "prints":
                said = "\n".join(line.rstrip() for line in reader.printed.strip("\n").splitlines()) + "\n"
                changes += [(block, said)] if said != block.text else []
            else:
                reader.run(block)
    if os.environ.get("UPDATE_DOCS"):
        for block, said in reversed(changes):
            text = text[: block.start] + said + text[block.start + len(block.text) :]
        (DOCS / page).write_text(text)
    else:
        assert [said for _, said in changes] == [block.text for block, _ in changes]


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_of_a_page_is_one_that_the_tests_see(page: str) -> None:
    text = (DOCS / page).read_text()
    assert 2 * len(blocks(text)) == len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE))


# -- links and what is generated ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return generated()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_of_the_site(page: str, made: dict[str, str]) -> None:
    text = (DOCS / page).read_text()
    drawn = {word for block in blocks(text) for word in re.findall(r"--out (\S+\.png)", block.text)}
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if link.startswith("https://") or link in drawn:
            continue
        if (path := os.path.normpath(os.path.join("docs", os.path.dirname(page), link))) in BROUGHT.values():
            assert (ROOT / path).exists()
            continue
        place = os.path.normpath(os.path.join(os.path.dirname(page), link))
        picture = link.endswith(".png") and (DOCS / place).exists()
        assert place in PAGES or place in made or picture, link


@pytest.mark.parametrize("page", PAGES)
def test_a_page_stands_in_the_navigation(page: str) -> None:
    assert re.search(rf"^ +- (?:[^:]+: )?{re.escape(page)}$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)


def test_no_two_pages_draw_the_same_picture(made: dict[str, str]) -> None:
    texts = {page: (DOCS / page).read_text() for page in PAGES} | made
    drawn = [
        os.path.join(os.path.dirname(page), name)
        for page, text in texts.items()
        for name in re.findall(r"^softfx plot .*--out (\S+)", text, re.MULTILINE)
    ]
    assert len(drawn) > len(METHODS)
    assert sorted(set(drawn)) == sorted(drawn)


def test_there_is_a_page_for_every_rule_that_may_be_a_site(made: dict[str, str]) -> None:
    for rule in RULES.values():
        if rule.code >= "SX1" and rule.decides:
            assert made[f"reference/rules/{rule.code}.md"].startswith(f"# {rule.name}: {rule.code}\n")
            assert f"({rule.code}.md)" in made["reference/rules/index.md"]


def test_every_method_has_its_curves(made: dict[str, str]) -> None:
    for name in METHODS:
        assert f"--method {name} " in made["reference/methods.md"] and f"({name}.png)" in made["reference/methods.md"]


def test_every_command_has_its_help(made: dict[str, str]) -> None:
    page = made["reference/cli.md"]
    for command in ("check", "diff", "soften", "plot", "audit", "calibrate", "lock", "policy init", "policy show"):
        assert f"## softfx {command}\n" in page and f"usage: softfx {command} " in page
    assert max(map(len, page.splitlines())) <= 90


def test_every_command_of_a_generated_page_is_one_that_softfx_has(made: dict[str, str]) -> None:
    lines = [line for page in made.values() for b in blocks(page) if b.language == "sh" for line in commands(b)]
    assert lines
    for line in lines:
        assert make_parser().parse_args(line.split()[1:]).command == line.split()[1]


def test_links_of_pages_that_are_kept_elsewhere_lead_to_the_site(made: dict[str, str]) -> None:
    for place in BROUGHT:
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", made[place]):
            target = os.path.normpath(os.path.join(os.path.dirname(place), link))
            assert target in PAGES or target in made or link.endswith(".png"), (place, link)


def test_the_page_of_json_has_every_key_in_order() -> None:
    tables = re.findall(
        r"^## (.+)\n\n\| key .*\n\|.*\n((?:\|.*\n)+)", (DOCS / "reference/json.md").read_text(), re.MULTILINE
    )
    keys = {title: re.findall(r"^\| `(\w+)`", rows, re.MULTILINE) for title, rows in tables}
    place = Break("", "", 0)
    site = Site(0, "", "", "", "", 0, "", "discrete", "keep", consumers=[Consumer("", "", 0, "hard")])
    data = ReportData("", "eager", breaks=[place], sites=[site]).to_dict()
    assert keys == {
        "The report": list(data),
        "capture": list(data["capture"]),
        "A site": list(data["sites"][0]),
        "A consumer": list(data["sites"][0]["consumers"][0]),
        "A break, or a cut": list(data["capture"]["breaks"][0]),
    }


def test_the_reference_has_every_public_name() -> None:
    text = (DOCS / "reference/softfx.md").read_text()
    assert {name for name in softfx.__all__ if not re.search(rf"(?:::: |`)softfx\.{name}\b", text)} == set()


def test_the_page_of_words_has_every_decision_family_and_heading() -> None:
    words = set(re.findall(r"^(\S.*)\n:   ", (DOCS / "reference/words.md").read_text(), re.MULTILINE))
    assert {*ACTION_WORDS.values(), *FAMILIES, CUTS.partition(":")[0]} <= words


# -- the build ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site: that of the environment variable SOFTFX_SITE, or one built here."""
    if given := os.environ.get("SOFTFX_SITE"):
        return Path(given)
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.site
def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    tags = r"script|img|iframe|source|link(?![^>]*rel=\"?(?:canonical|prev|next))"
    loads = re.compile(rf"""<(?:{tags})[^>]*?(?:src|href)=["']?(?:https?:)?//[^"'> ]+""")
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        assert loads.findall(page.read_text()) == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", sheet.read_text()), sheet


@pytest.mark.site
def test_pages_have_their_pictures_and_docstrings(site: Path) -> None:
    for page in site.rglob("*.html"):
        for picture in re.findall(r'<img[^>]*src="([^":]+)"', page.read_text()):
            assert (page.parent / picture).stat().st_size > 1000, (page, picture)
    assert "A softened copy of" in (site / "reference/softfx.html").read_text()
    assert "softness" in (site / "reference/softtorch/ordering.html").read_text()
