"""`python -m benchmarks.package`: the size of the wheel, and what it takes to import the packages and to start the CLI.

It builds the wheel in a folder of its own. A start is a process of its own, by the wall clock, in turns with the
others; the median of them is told, or what it takes beyond that of `import torch`.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
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
    times: dict[str, list[float]] = {name: [] for name, _, _ in STARTS}
    for turn in range(rounds + 1):
        for name, words, _ in STARTS:
            start = time.perf_counter()
            subprocess.run((sys.executable, *words), check=True, capture_output=True)
            if turn:  # the first one reads the files from the disk
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(found) for name, found in times.items()}
    for name, _, beyond in STARTS:
        took = medians[name] - (medians["import torch"] if beyond else 0.0)
        target = "0.5 s" if name == "softfx.soften" else "0.3 s" if name.startswith("softfx ") else ""
        yield f"{name}{', beyond torch' if beyond else ''}", f"{took:.2f} s", target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="processes of each kind (default: 7)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        rows = [*wheel_rows(folder), *start_rows(rounds)]
    table = Table("what", "measured", "at most")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
