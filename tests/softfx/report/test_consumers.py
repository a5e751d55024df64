"""Who uses what a site made: near it told of each site, behind a long sum of none."""

from __future__ import annotations

from pathlib import Path

import torch

import softfx
from softfx.decisions.evidence import MANY


def consumers(terms: int, folder: Path) -> list[list[str]]:
    """The consumers of each term of a sum of counts."""
    lines = "".join(f"    count = count + (x > {term}).sum()\n" for term in range(terms))
    scope: dict[str, object] = {}
    file = folder / "total.py"
    file.write_text(f"def total(x):\n    count = 0\n{lines}    return count\n")
    exec(compile(file.read_text(), str(file), "exec"), scope)  # each term a line, and so a site, of its own
    total = scope["total"]
    assert callable(total)
    report = softfx.check(total, example_inputs=(torch.randn(3),))
    assert len(report.sites) == terms
    return [[consumer.op for consumer in site.consumers] for site in report.sites]


def test_all_that_takes_the_value_of_a_few_sites_is_told_of_each(tmp_path: Path) -> None:
    assert consumers(3, tmp_path) == [["sum", "add", "add", "add"], ["sum", "add", "add"], ["sum", "add"]]


def test_consumers_grow_with_the_sites_and_not_with_their_pairs(tmp_path: Path) -> None:
    few, more = consumers(2 * MANY, tmp_path), consumers(4 * MANY, tmp_path)
    assert all("add" in uses for uses in more)
    assert max(map(len, more)) == max(map(len, few)) == MANY + 2
    grown = sum(map(len, more)) - sum(map(len, few))
    assert grown == 2 * 2 * MANY  # the own sum and addition of each site that is more
