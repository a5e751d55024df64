"""The transform matrix: every check of transforms.py on every entry of the sweep list, and its table in the docs.

A default run tries one mode of every operator, in one method after the other. All of it, for minutes:
`pytest -m full_matrix`, and with UPDATE_DOCS=1 in the environment the table is written again from what it found.
"""

import os
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tests.softtorch import transform_table
from tests.softtorch.sweep import Entry
from tests.softtorch.sweep_table import ENTRIES
from tests.softtorch.transform_table import Cells, outcome
from tests.softtorch.transforms import CHECKS, compiled

DOCUMENT = Path(__file__).parents[2] / "softtorch" / "docs" / "transforms.md"
SUPPORTED = [entry for entry in ENTRIES if entry.supported]
OPERATORS = list(dict.fromkeys(entry.operator.name for entry in ENTRIES))


def sample() -> list[Entry]:
    """One entry of every operator: methods and modes in turn."""
    turns = cycle(range(97))
    groups = [[entry for entry in SUPPORTED if entry.operator.name == name] for name in OPERATORS]
    return [group[7 * next(turns) % len(group)] for group in groups]


# One for each kind of code, for the compiler that also traces the derivative: seconds each.
COMPILED = ["relu c1", "sort softsort smooth", "rank sorting_network smooth"]

# torch's own histc in mode "hard", under vmap
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")


@pytest.mark.parametrize("entry", sample(), ids=str)
def test_an_operator_works_under_every_transform_dtype_and_shape(entry: Entry) -> None:
    found = {check: outcome(entry, check) for check in CHECKS if check != "compile"}
    assert not {check: text for check, text in found.items() if text.startswith("failed")}


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if str(entry) in COMPILED], ids=str)
def test_one_graph_serves_every_size_with_its_derivative(entry: Entry) -> None:
    compiled(entry, backend="aot_eager")


def test_what_the_library_says_it_cannot_do_it_refuses_and_nothing_else() -> None:
    assert [str(entry) for entry in ENTRIES if bool(entry.refusal) == entry.supported] == []


def test_the_table_in_the_docs_has_every_entry_and_every_check_and_nothing_red() -> None:
    assert transform_table.listed(DOCUMENT.read_text()) == transform_table.expected()


@pytest.fixture(scope="module")
def table() -> Iterator[Cells]:
    """What the full matrix finds, written to the docs at its end on request."""
    found: Cells = {}
    yield found
    if os.environ.get("UPDATE_DOCS"):
        before = transform_table.cells_of(DOCUMENT.read_text()) if DOCUMENT.exists() else {}
        DOCUMENT.write_text(transform_table.document(before | found))


@pytest.mark.full_matrix
@pytest.mark.parametrize("entry", SUPPORTED, ids=str)
def test_every_cell_of_the_matrix(entry: Entry, table: Cells) -> None:
    table[str(entry)] = found = {check: outcome(entry, check) for check in CHECKS}
    assert not {check: text for check, text in found.items() if text.startswith("failed")}
