"""The contract of every method: which laws its results keep, what it costs, what becomes of ties and NaN.

One record for each method in METHODS. The tables of README.md and softtorch/docs/methods.md are printed from them, and
tests/softtorch/methods/test_contracts.py tries every law, also those that are said not to hold. To add a method, add
its record.
"""

from dataclasses import dataclass

_ALL = ("smooth", "c0", "c1", "c2")


@dataclass(frozen=True)
class Law:
    """Where a law holds.

    >>> print(Law()), print(Law(())), print(Law(("c0",), plain=True))
    yes
    no
    c0, without standardizing
    (None, None, None)
    """

    modes: tuple[str, ...] = _ALL
    """the modes; none where it does not hold"""
    plain: bool = False
    """whether it needs standardize=False"""
    note: str = ""
    """what else it needs"""

    def __str__(self) -> str:
        if not self.modes:
            return f"no{self.note and ', but ' + self.note}"
        where = "" if self.modes == _ALL else ", ".join(self.modes)
        parts = [where, "without standardizing" if self.plain else "", self.note]
        return ", ".join(part for part in parts if part) or "yes"


YES, NO = Law(), Law(())


@dataclass(frozen=True)
class Contract:
    """What a method keeps. A law is None where the method has nothing that it could hold for."""

    rows: Law | None
    """each soft index sums to 1 over the entries"""
    columns: Law | None
    """the soft indices of all places sum to 1 for each entry, too"""
    sums: Law | None
    """all order statistics sum to what the entries sum to"""
    rank_sums: Law | None
    """all ranks sum to n (n + 1) / 2"""
    masks: Law | None
    """a top-k mask sums to k exactly"""
    ordered: Law | None
    """the order statistics come out in order"""
    monotone: Law | None
    """no order statistic falls where an entry rises"""
    equivariant: Law
    """permuted entries give permuted indices, ranks and masks, and the same values"""
    smoothness: str
    sparse: Law | None
    """soft indices, or masks, have exact zeros"""
    time: str
    memory: str
    ties: str
    source: str
    limit: str = "exact"
    infinities: str = "keep the first and last places"
    nan: str = "its row is NaN"


_SPARSE = Law(("c0", "c1", "c2"))
_SMOOTH = Law(("smooth",))

CONTRACTS: dict[str, Contract] = {
    "softsort": Contract(
        rows=YES,
        columns=NO,
        sums=NO,
        rank_sums=NO,
        masks=None,
        ordered=YES,
        monotone=NO,
        equivariant=YES,
        smoothness="the mode's, C^0 at ties",
        sparse=_SPARSE,
        time="n log n + k n",
        memory="k n",
        ties="share evenly",
        source="arXiv 2006.16038",
    ),
    "neuralsort": Contract(
        rows=YES,
        columns=NO,
        sums=NO,
        rank_sums=NO,
        masks=None,
        ordered=YES,
        monotone=NO,
        equivariant=YES,
        smoothness="the mode's",
        sparse=_SPARSE,
        time="n^2",
        memory="n^2",
        ties="share evenly",
        source="arXiv 1903.08850",
    ),
    "ot": Contract(
        rows=YES,
        columns=YES,
        sums=YES,
        rank_sums=YES,
        masks=YES,
        ordered=YES,
        monotone=NO,
        equivariant=YES,
        smoothness="the mode's",
        sparse=_SPARSE,
        time="n k^2 + k^3 a step",
        memory="k n",
        ties="share evenly",
        source="arXiv 1905.11885",
    ),
    "sorting_network": Contract(
        rows=YES,
        columns=NO,
        sums=NO,
        rank_sums=NO,
        masks=None,
        ordered=NO,
        monotone=Law((), note="with the swaps reciprocal, cauchy, optimal without standardizing"),
        equivariant=NO,
        smoothness="the swap's",
        sparse=_SPARSE,
        time="n log^2 n, k times for indices",
        memory="n log^2 n, k times for indices",
        ties="split evenly in each swap",
        source="arXiv 2105.04019",
    ),
    "fast_soft_sort": Contract(
        rows=None,
        columns=None,
        sums=Law(("c0", "c1", "c2"), plain=True),
        rank_sums=_SPARSE,
        masks=None,
        ordered=YES,
        monotone=Law(plain=True),
        equivariant=YES,
        smoothness="C^0",
        sparse=None,
        time="n log n",
        memory="n",
        ties="have equal ranks",
        source="arXiv 2002.08871",
    ),
    "smooth_sort": Contract(
        rows=None,
        columns=None,
        sums=_SMOOTH,
        rank_sums=_SMOOTH,
        masks=None,
        ordered=_SMOOTH,
        monotone=NO,
        equivariant=_SMOOTH,
        smoothness="C^inf; ranks jump at ties",
        sparse=None,
        time="n^3 a step",
        memory="n^2",
        ties="have ranks apart, by place",
        source="the smooth variant of fast_soft_sort",
    ),
    "lapsum": Contract(
        rows=_SMOOTH,
        columns=_SMOOTH,
        sums=_SMOOTH,
        rank_sums=_SMOOTH,
        masks=_SMOOTH,
        ordered=_SMOOTH,
        monotone=NO,
        equivariant=_SMOOTH,
        smoothness="C^1",
        sparse=NO,
        time="n log n, k n for indices",
        memory="n, k n for indices",
        ties="share evenly",
        source="arXiv 2503.06242",
    ),
    "sparse_topk": Contract(
        rows=None,
        columns=None,
        sums=None,
        rank_sums=None,
        masks=_SPARSE,
        ordered=None,
        monotone=None,
        equivariant=_SPARSE,
        smoothness="C^0",
        sparse=_SPARSE,
        time="n log n",
        memory="n",
        ties="share evenly",
        source="arXiv 2302.01425",
    ),
}
"""The contracts by the name of the method; n entries, k places asked for."""
