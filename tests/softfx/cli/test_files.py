"""What commands write, and what they refuse to write over; baselines that are damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.softfx.cli.programs import Run, X

SOFTEN = ("soften", "router_models.py:build", *X)
INIT = ("policy", "init", "router_models.py:build", *X)
PLOT = ("plot", "relu")
OUTS = [(SOFTEN, "soft.py"), (INIT, "new.toml"), (PLOT, "relu.png")]


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}


def test_soften_does_not_replace_the_source_of_its_target(softfx: Run) -> None:
    before = files()
    answer = softfx(*SOFTEN, "--out", "router_models.py")
    assert answer.status == 2 and "the file exists" in answer.err and "--force" in answer.err
    assert files() == before


@pytest.mark.parametrize(("command", "out"), OUTS)
@pytest.mark.parametrize("there", ["file", "link", "dangling link"])
def test_nothing_is_written_over(softfx: Run, command: tuple[str, ...], out: str, there: str) -> None:
    Path("mine.txt").write_text("mine")
    if there == "file":
        Path(out).write_text("mine")
    else:
        os.symlink("mine.txt" if there == "link" else "nowhere.txt", out)
    before = files()
    answer = softfx(*command, "--out", out)
    assert answer.status == 2 and f"--out {out}: the file exists" in answer.err
    assert files() == before


def test_the_report_beside_the_code_is_not_written_over_either(softfx: Run) -> None:
    Path("soft.report.json").write_text("mine")
    answer = softfx(*SOFTEN, "--out", "soft.py")
    assert answer.status == 2 and "soft.report.json, which is written beside it" in answer.err
    assert not Path("soft.py").exists() and Path("soft.report.json").read_text() == "mine"


@pytest.mark.parametrize(("command", "out"), OUTS)
def test_force_replaces(softfx: Run, command: tuple[str, ...], out: str) -> None:
    Path(out).write_text("mine")
    assert softfx(*command, "--out", out, "--force").status == 0
    assert Path(out).read_bytes() != b"mine"


@pytest.mark.parametrize("command", [command for command, _ in OUTS])
@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("folder", "it is a folder"),
        ("folder/../folder", "it is a folder"),
        ("nowhere/soft.py", "there is no folder nowhere"),
        ("router_models.py/soft.py", "there is no folder router_models.py"),
        ("", "it names no file"),
        (".", "it names no file"),
        ("..", "it names no file"),
        (os.devnull, "it is no ordinary file"),
        ("x" * 300 + ".py", "it cannot be written"),
        ("a\0b.py", "no file has a NUL in its name"),
    ],
)
@pytest.mark.parametrize("force", [True, False])
def test_what_cannot_be_written_is_told_before_the_work_begins(
    softfx: Run, command: tuple[str, ...], out: str, told: str, force: bool
) -> None:
    Path("folder").mkdir()
    before = files()
    answer = softfx(*command, "--out", out, *["--force"][: int(force)])
    assert answer.status == 2 and told in answer.err and "taking" not in answer.err
    assert files() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is unwritable for this user")
@pytest.mark.parametrize(("command", "out"), OUTS)
def test_a_folder_that_may_not_be_written_is_told(softfx: Run, command: tuple[str, ...], out: str) -> None:
    Path("locked").mkdir(mode=0o500)
    answer = softfx(*command, "--out", f"locked/{out}")
    assert answer.status == 2 and "it cannot be written: Permission denied" in answer.err


# -- baselines ---------------------------------------------------------------------------------------------------------

REPORT = (
    '{"version": 1, "target": "t", "capture": {"frontend": "eager", "graphs": 1, "breaks": [%s]}, '
    '"executor": "eager", "static": 0, "sites": [%s]}'
)
SITE = (
    '{"id": 0, "code": "SX1", "op": "round", "module": "", "file": %s, "line": %s, "source": "", '
    '"family": "discrete", "action": "keep", "consumers": %s}'
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"report"',
        "{",
        "[" * 100_000,
        "9" * 5_000,
        "\0",
        REPORT % ("", SITE % ("5", "1", "[]")),
        REPORT % ("", SITE % ('"f.py"', '"1"', "[]")),
        REPORT % ("", SITE % ('"f.py"', "1", "5")),
        REPORT % ("", SITE % ('"f.py"', "1", '[{"op": 1}]')),
        REPORT % ("", '{"strange": 1}'),
        REPORT % ('{"reason": [], "file": "f.py", "line": 1}', ""),
        REPORT % ("3", ""),
        (REPORT % ("", "")).replace('"t"', "[]"),
        (REPORT % ("", "")).replace("[]", "3"),
    ],
)
def test_a_damaged_baseline_is_named_and_nothing_else_is_blamed(softfx: Run, text: str) -> None:
    Path("baseline.json").write_text(text)
    answer = softfx("check", "router_models:build", *X, "--baseline", "baseline.json")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith("softfx: --baseline baseline.json: it is no report")
    assert "taking" not in answer.err


def test_a_baseline_that_is_no_text_or_no_file_is_named(softfx: Run) -> None:
    Path("baseline.json").write_bytes(b"\xff\xfe{")
    Path("folder").mkdir()
    for name in ("baseline.json", "folder", os.devnull, "missing.json"):
        answer = softfx("soften", "router_models:build", *X, "--baseline", name)
        assert answer.status == 2 and answer.err.startswith(f"softfx: --baseline {name}: ")


def test_a_baseline_with_a_byte_order_mark_is_read(softfx: Run) -> None:
    Path("baseline.json").write_text("\ufeff" + REPORT % ("", ""), encoding="utf-8")
    assert softfx("check", "router_models:build", *X, "--baseline", "baseline.json").status == 0
