"""The contracts of the methods as the tables of README.md and softtorch/docs/methods.md."""

from softtorch.methods import METHODS, Method
from softtorch.methods.contract import Law

BEGIN, END = "<!-- methods: begin -->\n", "<!-- methods: end -->"

_LAWS = {
    "doubly stochastic": "doubly_stochastic",
    "values keep the sum": "keeps_sum",
    "masks sum to k": "masks_sum_to_k",
    "values in order": "ordered",
    "values monotone": "monotone",
    "equivariant": "equivariant",
    "sparse": "sparse",
}

_GIVES = """# Methods and what they keep

How sorting, choosing and ranking are relaxed. Written by
`UPDATE_DOCS=1 pytest tests/softtorch/methods/test_contracts.py` from the contracts that the classes in
softtorch/methods state; every law is tried in the tests of that file, with random entries, softness and sizes, and
every "no" has a counterexample there. Costs are measured in test_costs.py beside it.

## What they give

`mode` sets the shape of the relaxation: `smooth` (infinitely smooth, nothing exactly 0), `c0`, `c1`, `c2` (that often
continuously differentiable, with compact support), `hard` (torch's own result). `sparse_topk` gives masks, to
`softtorch.topk_mask` alone.
"""

_INTRODUCTION = """## Laws

- rows: each soft index sums to 1 over the entries. Doubly stochastic: those of all places sum to 1 for each entry too.
- values keep the sum: all sorted values together sum to what the entries do. ranks: they sum to n (n + 1) / 2.
- masks: `topk_mask` sums to k exactly.
- values in order: soft sorted values are sorted. Monotone: none of them falls where an entry rises.
- equivariant: permuted entries give permuted indices and ranks, and the same values.
- smooth: how often it is continuously differentiable. The mode's: smooth C^inf, c0 C^0, c1 C^1, c2 C^2.
- sparse: exact zeros.
"""

_COSTS = """## Cost, limits and ties

For n entries and k places asked for. In the limit of small softness every method gives the exact values, indices,
ranks and masks, wherever these are unique.
"""


def summary() -> str:
    """The table of the README: the six columns that a first reader needs."""
    head = ["method", "modes", "values", "soft indices", "ranks", "doubly stochastic"]
    rows = []
    for name, method in METHODS.items():
        flags = (method.has_values, method.has_rows, method.has_rank, method.doubly_stochastic)
        rows.append([f"`{name}`", ", ".join(method.modes), *map(_word, flags)])
    return _table(head, rows)


def document() -> str:
    """softtorch/docs/methods.md."""
    fields = {"rows sum to 1": "rows_sum_to_one", **_LAWS, "ranks keep the sum": "keeps_rank_sum"}
    laws, costs = [], []
    for name, method in METHODS.items():
        c = method.contract
        laws.append([f"`{name}`", *(_cell(method, field) for field in fields.values()), c.smoothness])
        costs.append([f"`{name}`", str(c.time), str(c.memory), c.limit, c.ties, c.infinities, c.nan, c.source])
    columns = ["method", "time", "memory", "limit", "ties", "infinities", "NaN", "source"]
    first = _table(["method", *fields, "smooth"], laws)
    return "\n".join([_GIVES, summary(), _INTRODUCTION, first, _COSTS, _table(columns, costs)])


def _cell(method: Method, field: str) -> str:
    law: Law | None = method.law(field)
    return "-" if law is None else str(law)


def _word(flag: bool) -> str:
    return "yes" if flag else "no"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines, ""])
