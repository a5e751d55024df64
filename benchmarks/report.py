"""What a run found, as a table on the terminal and as report.md. Plain data in, text out; nothing is measured here."""

import datetime
import platform

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Result, Setting

HEADINGS = ("case", "what", "shape", "ours", "against", "ours / theirs", "target", "met")


def rows(result: Result) -> list[tuple[str, ...]]:
    """Lines of the table, one for each comparison of a result."""
    head = (result.code, result.name, " x ".join(map(str, result.shape)), time(result.seconds))
    met = {True: "yes", False: "no", None: ""}[result.met]
    if result.note:
        return [(*head, "", result.note, "", "")]
    lines = [
        (*head, library, reason if ratio is None else number(ratio), bounded(bound), met)
        for library, ratio, bound, reason in result.ratios
    ]
    if result.vectors:
        used, bound = result.vectors
        lines.append((*head, "extra memory, vectors", number(used), bounded(bound), met))
    if result.exponents:
        for kind, exponent in zip(("time", "memory"), result.exponents[:2], strict=True):
            lines.append((*head, f"exponent of {kind}", number(exponent), bounded(result.exponents[2]), met))
    return lines


def time(seconds: float | None) -> str:
    """Seconds in a unit that shows three digits.

    >>> time(0.00123), time(12.0)
    ('1.23 ms', '12 s')
    """
    if seconds is None:
        return ""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            return f"{number(seconds * scale)} {unit}"
    return ""


def number(value: float) -> str:
    """Three digits.

    >>> number(0.01234), number(1234.5)
    ('0.0123', '1234')
    """
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def bounded(bound: float | None) -> str:
    """A target."""
    return "" if bound is None else f"<= {number(bound)}"


def show(console: Console, results: list[Result]) -> None:
    """The table on the terminal."""
    table = Table(*HEADINGS)
    for result in results:
        for line in rows(result):
            table.add_row(*line)
    console.print(table)


def markdown(results: list[Result], setting: Setting, missing: dict[str, str], before: str = "") -> str:
    """The report as a page.

    Args:
        results: what this run measured.
        setting: how.
        missing: libraries that are not there, and why.
        before: an earlier page, whose lines of cases that were not measured again stay.
    """
    fresh = [line for result in results for line in rows(result)]
    codes = {result.code for result in results}
    cells = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in before.splitlines() if line[:2] == "| "]
    lines = fresh + [line for line in cells[1:] if line[0] not in codes and not line[0].startswith("---")]
    lines.sort(key=lambda line: place(line[0]))
    judged = {line[:3]: line[-1] for line in lines if line[-1]}
    head = [
        "# Measured",
        "",
        f"{datetime.date.today()}, {machine(setting)}; torch {torch.__version__}, Python {platform.python_version()}.",
        f"float32, forward and backward pass unless the case says otherwise; medians over {setting.rounds} rounds in",
        "which the libraries take turns. `python -m benchmarks` writes this page; README.md explains it.",
        "",
        f"{list(judged.values()).count('yes')} of {len(judged)} targets with something to compare are met.",
        *(f"\n{library}: {reason}." for library, reason in missing.items()),
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|" + " --- |" * len(HEADINGS),
    ]
    return "\n".join(head + ["| " + " | ".join(line) + " |" for line in lines]) + "\n"


def place(code: str) -> tuple[bool, int]:
    """Where a case belongs: P1, P2, ... and then the others."""
    numbered = code[:1] == "P"
    return not numbered, int(code[1:]) if numbered else 0


def machine(setting: Setting) -> str:
    """What was measured on."""
    if setting.device == "cuda":
        return torch.cuda.get_device_name()
    clock = ", processor time instead of wall time" if setting.clock == "cpu" else ""
    return f"{platform.machine()} CPU, {setting.threads} threads{clock}"
