"""softtorch/docs/transforms.md: what each check of transforms.py found on each entry of the sweep list, as a table.

`outcome` runs one check, `document` renders what was found, `listed` reads a document again. How to run all of
it is in test_transforms.py.
"""

import re
from string import ascii_lowercase

from softtorch.errors import SoftTorchError
from tests.softtorch.sweep import Entry
from tests.softtorch.sweep_table import ENTRIES, FAMILIES
from tests.softtorch.transforms import CHECKS, NotApplicable

Cells = dict[str, dict[str, str]]
"""For each entry, what each check found: "yes", or why not, beginning with the kind of reason."""

_INTRODUCTION = """# Operators under transforms

Every operator in every method and mode, against float64 eager calls. Written by
`UPDATE_DOCS=1 pytest -m full_matrix tests/softtorch/test_transforms.py`, which also asserts every cell; what a column
checks is the function of that name in tests/softtorch/transforms.py.

- vmap, vmap of grad: over a batch of rows, the same as row by row.
- jvp: forward mode against central differences; gradcheck, gradgradcheck: torch's own, on weighted losses.
- compile: `torch.compile(fullgraph=True, dynamic=True)`: one graph for three shapes, value and gradient.
- bfloat16, float16: within the dtype's own rounding of the float64 result, gradient included.
- empty batch, n = 1, 0-dim, ties, entries of size 1e6 and 1e-6, entries of -inf: values right, gradients finite.
- learned softness, softness by row: a Parameter with gradcheck, and one softness for each row or entry.
- no readback: runs on the meta device with a softness there, so that nothing is read from a device.
- DTensor: split by rows over the mesh of one process, values and gradients; tests/softtorch/test_sharded.py has several
  processes and every way to split.

A DTensor gives a DTensor: elementwise operators and those along a dim work on the shards of other dims without a word
between processes, gather, scatter and their kin on those in front of the dim; what is split along the dim, or has no
one dim, is gathered first. Random operators refuse one.

"✓" is a check that holds; a letter says why there is none, below each table.
"""


_UNKNOWN = dict.fromkeys(CHECKS, "failed: not tried")


def outcome(entry: Entry, check: str) -> str:
    """What a check finds on an entry."""
    try:
        CHECKS[check](entry)
    except NotApplicable as nothing:
        return f"nothing to check: {nothing}"
    except SoftTorchError as refusal:
        return f"raises `{refusal}`"
    except Exception as problem:  # whatever it is, it is what the table reports
        return f"failed: {type(problem).__name__}: {problem}"
    return "yes"


def document(cells: Cells) -> str:
    """The whole document."""
    parts = [_INTRODUCTION, *(_family(name, cells) for name in FAMILIES), _refused()]
    return "\n".join(parts)


def _family(name: str, cells: Cells) -> str:
    """The table of one family, entries that differ in the mode alone and look the same on one line."""
    letters: dict[str, str] = {}
    lines: dict[tuple[str, str, str], list[str]] = {}
    for entry in ENTRIES:
        if entry.operator in FAMILIES[name] and entry.supported:
            marks = [_mark(text, letters) for text in cells.get(str(entry), _UNKNOWN).values()]
            key = (entry.operator.name, entry.method, " | ".join(marks))
            lines.setdefault(key, []).append(entry.mode)
    head = ["operator", "method", "modes", *CHECKS]
    rows = [
        f"| {operator} | {method} | {', '.join(modes)} | {marks} |"
        for (operator, method, marks), modes in lines.items()
    ]
    notes = [f"- {letter}: {text}" for text, letter in letters.items()]
    table = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *rows]
    return "\n".join([f"## {name}", "", *table, "", *notes, ""])


def _mark(text: str, letters: dict[str, str]) -> str:
    if text == "yes":
        return "✓"
    if text.startswith("failed"):
        return "✗"
    return letters.setdefault(text, ascii_lowercase[len(letters)])


def _refused() -> str:
    """What the library refuses, with its message."""
    lines: dict[tuple[str, str], list[str]] = {}
    for entry in ENTRIES:
        if entry.refusal:
            lines.setdefault((f"{entry.operator.name} | {entry.method}", entry.refusal), []).append(entry.mode)
    rows = [f"| {which} | {', '.join(modes)} | {why} |" for (which, why), modes in lines.items()]
    return "\n".join(["## refused", "", "| operator | method | modes | error |", "|---|---|---|---|", *rows, ""])


def cells_of(text: str) -> Cells:
    """What a document says, to be completed by what was found since."""
    found: Cells = {}
    for section in text.split("\n## ")[1:]:
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()]
        notes = dict(line.removeprefix("- ").split(": ", 1) for line in section.splitlines() if line.startswith("- "))
        if section.startswith("refused"):
            continue
        (head,) = [cells for cells in lines if cells[0] == "operator"]
        for cells in lines:
            marks = ["yes" if mark == "✓" else notes.get(mark, "") for mark in cells[3:]]
            if len(cells) == len(head) and all(marks):
                found |= {name: dict(zip(head[3:], marks, strict=True)) for name in _names(cells)}
    return found


def expected() -> tuple[set[str], set[str], list[str]]:
    """What a document has to list: the entries that work, those that are refused, and the columns."""
    return (
        {str(entry) for entry in ENTRIES if entry.supported},
        {str(entry) for entry in ENTRIES if not entry.supported},
        list(CHECKS),
    )


def listed(text: str) -> tuple[set[str], set[str], list[str]]:
    """The same, of a document; entries with anything but a mark or a letter are left out."""
    works, refused = text.split("## refused")
    heads = {line for line in works.splitlines() if line.startswith("| operator")}
    (head,) = [[cell.strip() for cell in line.strip("|").split("|")] for line in heads]
    return _entries(works, "✓|[a-z]"), _entries(refused, ".*"), head[3:]


def _entries(text: str, legal: str) -> set[str]:
    found = set()
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] != "operator" and all(re.fullmatch(legal, cell) for cell in cells[3:]):
            found |= set(_names(cells))
    return found


def _names(cells: list[str]) -> list[str]:
    """The entries that a line stands for."""
    return [" ".join(part for part in (*cells[:2], mode) if part) for mode in cells[2].split(", ")]
