"""`python -m benchmarks.package`: the size of the wheel, and what it takes to import the packages and to start the CLI.

With --write the table is written to package.md, a page of the site; a whole run of `python -m benchmarks` writes it.

It builds the wheel in a folder of its own. A start is a process of its own, by the wall clock, in turns with the
others; the median of them is told, or what it takes beyond that of `import torch`. On a machine that does other work,
too, the processor time beside it tells more.
"""

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("package.md")
# What a start is, the command, and whether torch's own import is taken off.
STARTS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("import torch", ("-c", "import torch"), False),
    ("import softtorch", ("-c", "import softtorch"), True),
    ("softfx.soften", ("-c", "import softfx; softfx.soften"), True),
    ("import softfx, which loads its names when they are asked for", ("-c", "import softfx"), False),
    ("softfx --help", ("-m", "softfx", "--help"), False),
    ("softfx explain SX301", ("-m", "softfx", "explain", "SX301"), False),
    ("softfx rules", ("-m", "softfx", "rules"), False),
)
Row = tuple[str, str, str]


def wheel_rows(folder: str) -> Iterator[Row]:
    """The bytes of the wheel, and of what is in it by kind, deflated."""
    command = (sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(ROOT))
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = Path(folder).glob("*.whl")
    yield "wheel", f"{wheel.stat().st_size / 1e3:.0f} kB", "500 kB"
    kinds: Counter[str] = Counter()
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            package = item.filename.split("/")[0]
            code = f"code of {package}" if item.filename.endswith(".py") else f"pages and tables of {package}"
            kinds["metadata" if package.endswith(".dist-info") else code] += item.compress_size
    for kind, size in kinds.most_common():
        yield f"of it {kind}", f"{size / 1e3:.0f} kB", ""


def start_rows(rounds: int) -> Iterator[Row]:
    """The median time of each start."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in STARTS}
    for turn in range(rounds + 1):
        for name, words, _ in STARTS:
            start, used = time.perf_counter(), _processor_time()
            subprocess.run((sys.executable, *words), check=True, capture_output=True)
            if turn:  # the first one reads the files from the disk
                times[name].append((time.perf_counter() - start, _processor_time() - used))
    medians = {name: [statistics.median(kind) for kind in zip(*found, strict=True)] for name, found in times.items()}
    for name, _, beyond in STARTS:
        less = medians["import torch"] if beyond else (0.0, 0.0)
        took, used = (own - other for own, other in zip(medians[name], less, strict=True))
        target = "0.5 s" if name == "softfx.soften" else "0.3 s" if name.startswith("softfx ") else ""
        yield f"{name}{', beyond torch' if beyond else ''}", f"{took:.2f} s, {used:.2f} s of a processor", target


def _processor_time() -> float:
    """The seconds that processes of this one that have ended took of a processor."""
    spent = os.times()
    return spent.children_user + spent.children_system


def measured(rounds: int) -> list[Row]:
    """All rows."""
    with tempfile.TemporaryDirectory() as folder:
        return [*wheel_rows(folder), *start_rows(rounds)]


def markdown(rows: list[Row], rounds: int) -> str:
    """The page: when and where it was measured, and the table.

    >>> print(markdown([("wheel", "400 kB", "500 kB")], 7).splitlines()[-1])
    | wheel | 400 kB | 500 kB |
    """
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    lines = [
        "# The package, measured",
        "",
        f"{datetime.date.today()}, {platform.machine()} CPU; {versions}. {_load()}",
        f"The wheel's size, and the medians of {rounds} processes of each kind, which take turns: what passes,",
        "and what is taken of a processor.",
        "`python -m benchmarks.package --write` writes this page.",
        "",
        "| what | measured | at most |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _load() -> str:
    """How busy the machine is, where it tells."""
    if not hasattr(os, "getloadavg"):
        return ""
    return f"{os.getloadavg()[0]:.1f} processes were running on {os.cpu_count()} processors."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="processes of each kind (default: 7)")
    parser.add_argument("--write", action="store_true", help="write package.md")
    arguments = parser.parse_args()
    rows = measured(arguments.rounds)
    table = Table("what", "measured", "at most")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if arguments.write:
        PAGE.write_text(markdown(rows, arguments.rounds))


if __name__ == "__main__":
    main()
