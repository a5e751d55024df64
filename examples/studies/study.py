"""What the studies share: their arguments, sizes, tables, pictures and claims, and the page that one run writes.

A study is a script that makes one `Study`, adds what it finds, and ends with `finish`. The page in docs/studies/ is
made of the script's own docstring and of what that run found, so a number in it has the command that printed it.
"""

import argparse
import dataclasses
import importlib.util
import math
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Size = TypeVar("Size")
PAGES = Path(__file__).parents[2] / "docs" / "studies"
SEEDS = 2**32 - 1000  # what numpy takes, and room for those after the first
COLORS = ("#30343b", "#2a9d60", "#e06c5a", "#3f74c8", "#c99a2e", "#8a5fb5", "#8a909a")


class Study(Generic[Size]):
    """One run of one study.

    Its size is a dataclass of numbers, tuples of numbers, and names; each field is an option of the command line, so
    that every study runs with other seeds and sizes: `--seeds 3 --steps 500`. A size whose numbers do not fit together
    raises ValueError when it is made, which is told as an error of the command line (`demand`).

    Args:
        script: the file of the study, `__file__`.
        text: its docstring: the title, and the paragraphs that open its page.
        quick: what the tests run, under a minute.
        default: what the page is made of, minutes.
        full: the size of publications, minutes to days.
        options: further options, each with what argparse takes.
    """

    def __init__(
        self, script: str, text: str, *, quick: Size, default: Size, full: Size, **options: dict[str, Any]
    ) -> None:
        self.name, self.text = Path(script).stem, text
        parser = argparse.ArgumentParser(description=text.splitlines()[0])
        sizes = parser.add_mutually_exclusive_group()
        sizes.add_argument("--quick", action="store_true", help="under a minute: what the tests run")
        sizes.add_argument("--full", action="store_true", help="the size of publications, minutes to days")
        parser.add_argument("--seed", type=_number_from(int, 0, SEEDS), default=0, help="the first of the seeds")
        parser.add_argument("--out", type=Path, help="folder for the page; docs/studies for the default size")
        fields = [field.name for field in dataclasses.fields(default)]  # type: ignore[arg-type]
        for name in fields:
            _add(parser, name, getattr(default, name))
        for name, taken in options.items():
            parser.add_argument(f"--{name}", **taken)
        self.arguments = parser.parse_args()
        self.seed: int = self.arguments.seed
        self.quick: bool = self.arguments.quick
        given = {name: value for name in fields if (value := getattr(self.arguments, name)) is not None}
        numbers = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        start: Any = quick if self.quick else full if self.arguments.full else default
        try:
            self.size: Size = dataclasses.replace(start, **numbers)
        except ValueError as error:
            parser.error(str(error))
        sized = [f"--{name} {_words(value)}" for name, value in given.items()]
        flags = [f"--{name}" for name in ("quick", "full") if getattr(self.arguments, name)]
        seed = [f"--seed {self.seed}"] if self.seed else []
        more = [
            f"--{name} {taken.get('metavar', '')}" for name, taken in options.items() if getattr(self.arguments, name)
        ]
        self.flags = [*flags, *seed, *sized]
        self.command = " ".join([f"python examples/studies/{self.name}.py", *self.flags, *more])
        self.out: Path = self.arguments.out or (Path(tempfile.gettempdir()) if self.flags else PAGES)
        try:  # before minutes are spent
            self.out.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.out).close()
        except OSError as error:
            parser.error(f"argument --out: no page can be written to {self.out}: {error.strerror}")
        self.found: list[str] = []
        self.claims: list[tuple[str, bool]] = []
        self.console = Console()

    def seeds(self, count: int) -> Iterator[int]:
        """`count` seeds; torch's generator is set to each in turn."""
        for seed in range(self.seed, self.seed + count):
            torch.manual_seed(seed)
            yield seed

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> None:
        """Print a table and put it on the page, with a sentence below it."""
        shown = Table(*columns, title=title)
        for row in rows:
            shown.add_row(*(escape(str(cell)) for cell in row))
        self.console.print(shown)
        lines = [f"## {title}", "", _line(columns), _line(["---"] * len(columns)), *(_line(row) for row in rows), ""]
        self.found += [*lines, *([note, ""] if note else []), "```text", self.command, "```", ""]

    def draw(self, picture: Callable[[Any], None], width: float = 9.0, height: float = 3.4) -> None:
        """Draw on a matplotlib figure and put it on the page; without matplotlib there is no picture."""
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError:
            self.console.print("(with matplotlib there would be a picture)")
            return
        figure = Figure(figsize=(width, height), layout="constrained")
        picture(figure)
        figure.savefig(self.out / f"{self.name}.png", dpi=110)
        self.found += [f"![{self.text.splitlines()[0]}]({self.name}.png)", ""]

    def claim(self, sentence: str, holds: bool, *, at_quick: bool = True) -> None:
        """State an outcome; `finish` fails where one does not hold. What takes longer is not claimed of a quick run."""
        if at_quick or not self.quick:
            self.claims.append((sentence, bool(holds)))

    def finish(self) -> None:
        """Write the page and hold the run to its claims.

        Raises:
            AssertionError: a claim does not hold, with all that do not.
        """
        title, _, body = self.text.partition("\n")
        seconds = round(sum(os.times()[:4]))  # with those of processes that it started
        self.found += [
            f"The run took {seconds} s of processor time with {torch.get_num_threads()} thread(s) of torch.",
            "",
        ]
        said = (f"- {sentence}" if holds else f"- {sentence}: not in this run" for sentence, holds in self.claims)
        asserted = ["## What the script asserts", "", *said, ""]
        page = self.out / f"{self.name}.md"
        page.write_text("\n".join([f"# {title.rstrip('.')}", "", body.strip(), "", *self.found, *asserted]))
        self.console.print(f"written to {page}")
        failed = [sentence for sentence, holds in self.claims if not holds]
        assert not failed, "; ".join(failed)


def _add(parser: argparse.ArgumentParser, name: str, value: object) -> None:
    """The option of one field of a size."""
    several = isinstance(value, tuple)
    parts = value if isinstance(value, tuple) else (value,)
    kind: Callable[[str], Any] = type(parts[0]) if parts else str
    if kind in (int, float):
        kind = _number_from(kind, 0 if 0 in parts else 1 if kind is int else None)
    legal = {"choices": parts, "metavar": "NAME"} if several and kind is str and parts else {}
    taken: dict[str, Any] = {"type": kind, "nargs": "+" if several else None, **legal}
    parser.add_argument(f"--{name}", help=f"by default {_words(value)}", **taken)


def _number_from(kind: Callable[[str], Any], least: int | None, most: float = math.inf) -> Callable[[str], Any]:
    """What reads a number: a count, from `least` to `most`, or a finite number above 0."""

    def number(text: str) -> Any:
        found = kind(text)
        low, high = "above 0" if least is None else f"from {least}", "on" if most == math.inf else f"to {most}"
        if not ((found > 0 if least is None else found >= least) and found <= most and math.isfinite(found)):
            legal = low if least is None else f"{low} {high}"
            raise argparse.ArgumentTypeError(f"{text} is no number for it. Legal is a number {legal}.")
        return found

    number.__name__ = getattr(kind, "__name__", "number")  # by which argparse names it
    return number


def demand(holds: bool, legal: str) -> None:
    """For `__post_init__` of a size: that its numbers fit together.

    Raises:
        ValueError: they do not, with what would be legal.
    """
    if not holds:
        raise ValueError(f"these numbers do not fit together. Legal is {legal}.")


def annealed(first: float, last: float, step: int, steps: int) -> float:
    """The softness of a step of so many, geometrically from the first one's to the last one's."""
    return first * (last / first) ** (step / max(steps - 1, 1))


def _words(value: object) -> str:
    """A field of a size as the command line takes it."""
    parts = value if isinstance(value, (tuple, list)) else (value,)
    return " ".join(f'"{part}"' if " " in str(part) else str(part) for part in parts) or "all"


def spread(values: Sequence[float], digits: int = 2, unit: str = "") -> str:
    """The mean and the standard deviation over seeds, as text; one value stands alone."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}{unit}" if len(values) > 1 else f"{mean}{unit}"


class Stopwatch:
    """Processor seconds of the blocks that were timed, which other work on the machine does not lengthen."""

    def __init__(self) -> None:
        self.seconds, self.runs = 0.0, 0

    @contextmanager
    def timed(self) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds += time.process_time() - start
        self.runs += 1

    def each(self) -> str:
        """Milliseconds a block, as text, to two digits at least; "-" where no block was timed."""
        if not self.runs:
            return "-"
        milliseconds = max(1000 * self.seconds / self.runs, 0.001)
        return f"{milliseconds:.{max(1 - math.floor(math.log10(milliseconds)), 0)}f}"


def tidy(axis: Any, title: str = "", across: str = "", up: str = "") -> None:
    """A title, names and no needless frame."""
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(across, fontsize=8)
    axis.set_ylabel(up, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def dots(axis: Any, names: Sequence[str], columns: Mapping[str, Sequence[float]]) -> None:
    """A line for each name, from the top, and on it a dot for each column, which the legend names."""
    for color, (title, values) in zip(COLORS, columns.items(), strict=False):
        places = [place for place, _ in enumerate(values)]
        axis.scatter(values, places, color=color, s=14, label=title, clip_on=False)
    axis.set_yticks(range(len(names)), names)
    axis.margins(y=0.02)
    axis.invert_yaxis()
    axis.grid(axis="y", color=COLORS[-1], linewidth=0.2)
    axis.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _require() -> None:
    """End the script that is run if a package that its docstring names is not installed."""
    text = getattr(sys.modules["__main__"], "__doc__", None) or ""
    named = ", ".join(re.findall(r"^Requires: (.*)$", text, re.M)).split(", ")
    missing = [name for name in named if name and importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(
            f"{Path(sys.argv[0]).name}: error: needs {', '.join(missing)}, which this Python has not. In a clone "
            "pip install -e '.[test,zoo]' brings it."
        )


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


_require()  # before the script imports them: studies import this module first
