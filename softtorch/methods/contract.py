"""The words in which a method states its contract: the laws that its results keep, its costs, the fate of ties.

Each class states its own, once (`Method.contract`); its docstring, the table of README.md and softtorch/docs/methods.md
are written from it. tests/softtorch/methods/test_contracts.py tries every law, also those that are said not to hold,
and test_costs.py measures the costs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Law:
    """The modes in which a law holds, and its conditions.

    >>> print(Law()), print(Law(())), print(Law(("c0",), plain=True))
    yes
    no
    c0, without standardizing
    (None, None, None)
    """

    modes: tuple[str, ...] | None = None
    """The modes it holds in: None for all modes of the method, () for none."""
    plain: bool = False
    """True if it needs standardize=False."""
    note: str = ""
    """Further conditions."""

    def holds_in(self, mode: str) -> bool:
        """Return True if it holds in a mode of the method."""
        return self.modes is None or mode in self.modes

    def __str__(self) -> str:
        if self.modes == ():
            return f"no{self.note and ', but ' + self.note}"
        parts = [", ".join(self.modes or ()), "without standardizing" if self.plain else "", self.note]
        return ", ".join(part for part in parts if part) or "yes"


YES, NO = Law(), Law(())
PIECEWISE = Law(("c0", "c1", "c2"))


@dataclass(frozen=True)
class Except:
    """Results whose cost is another than the usual one."""

    growth: str
    results: tuple[str, ...]
    """Some of "values", "ranks", "indices" and "masks"."""
    modes: tuple[str, ...] | None = None
    """The modes in which this is so; None for all."""

    def __str__(self) -> str:
        where = f" in mode {', '.join(self.modes)}" if self.modes else ""
        return f"{self.growth} for {' and '.join(self.results)}{where}"


@dataclass(frozen=True)
class Cost:
    """The growth of time or memory with n entries and k places asked for.

    >>> print(Cost("n log n", (Except("k n", ("indices",)),)))
    n log n, k n for indices
    """

    usual: str
    """A sum of products such as "n log n"; "a step" behind it where a solver takes steps until it has converged."""
    special: tuple[Except, ...] = ()

    def growth(self, result: str, mode: str) -> str:
        """The growth for one kind of result in one mode; "k times" and "n times" are of the usual one."""
        fitting = (
            special
            for special in self.special
            if result in special.results and (special.modes is None or mode in special.modes)
        )
        return next((special.growth for special in fitting), self.usual)

    def __str__(self) -> str:
        return ", ".join([self.usual, *map(str, self.special)])


@dataclass(frozen=True)
class Contract:
    """The laws that the results of a method keep, and its costs; its flags say which results it gives.

    That each soft index sums to 1 and each mask to k is a law of every method that gives them. Laws about what a method
    does not give are left at their defaults.
    """

    smoothness: str
    time: Cost
    memory: Cost
    source: str
    doubly_stochastic: Law = NO
    """The soft indices of all places sum to 1 for each entry, too."""
    keeps_sum: Law = NO
    """All order statistics sum to what the entries sum to."""
    keeps_rank_sum: Law = NO
    """All ranks sum to n (n + 1) / 2."""
    ordered: Law = YES
    """The order statistics come out in order."""
    monotone: Law = NO
    """No order statistic falls where an entry rises."""
    equivariant: Law = YES
    """Permuted entries give permuted indices, ranks and masks, and the same values."""
    sparse: Law = PIECEWISE
    """Soft indices, or masks, have exact zeros."""
    ties: str = "share evenly"
    limit: str = "exact"
    infinities: str = "keep the first and last places"
    nan: str = "its row is NaN"


LAWS: dict[str, tuple[str, ...]] = {
    "rows_sum_to_one": ("has_rows",),
    "doubly_stochastic": ("has_rows",),
    "keeps_sum": ("has_values",),
    "masks_sum_to_k": ("has_mask",),
    "ordered": ("has_values",),
    "monotone": ("has_values",),
    "equivariant": ("has_values", "has_rows", "has_rank", "has_mask"),
    "sparse": ("has_rows", "has_mask"),
    "keeps_rank_sum": ("has_rank",),
}
"""Every law, with the flags of Method of which one at least has to be set for the law to mean something."""
