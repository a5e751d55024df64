"""Relaxed sorting networks (arXiv 2105.04019): every swap of a sorting network mixes instead of choosing.

The network runs over the keys; soft indices are rows of the product of its swaps. Layers and swap functions are in
kernels/network.py. To add one: a function there and a line in SWAPS or NETWORKS.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from softtorch.errors import OptionError, message, nearest
from softtorch.kernels import network
from softtorch.methods.base import settled, with_extremes
from softtorch.methods.contract import NO, Contract, Cost, Except, Law
from softtorch.methods.keys import Keys
from softtorch.methods.mirrored import Mirrored
from softtorch.methods.positions import Positions
from softtorch.modes import Mode

SWAPS: dict[str, Callable[[Mode], network.Swap]] = {
    "logistic": lambda mode: mode.sigmoidal,
    "reciprocal": lambda mode: network.reciprocal,
    "cauchy": lambda mode: network.cauchy,
    "optimal": lambda mode: network.optimal,
}
"""The swap functions by name; "logistic" is the mode's own step, the logistic function in mode smooth."""

NETWORKS: dict[str, tuple[Callable[[int, torch.device], Iterator[network.Layer]], Callable[[int], int]]] = {
    "bitonic": (network.bitonic, network.padded_size),
    "odd_even": (network.odd_even, lambda n: n),
}
"""The layers of each network, and the size that it needs for n entries."""


_COST = Cost("n log^2 n", (Except("k times", ("indices",)), Except("n times", ("ranks",))))


@dataclass(frozen=True)
class SortingNetwork(Mirrored):
    """Order statistics by soft swaps.

    Where n is no power of two, the bitonic network is padded with constants: standardized entries mix with them, others
    do not. The odd-even network has no padding, and n layers instead of log^2 n.

    Args:
        swap: "logistic" (the mode's step), or the monotone "reciprocal", "cauchy", "optimal" (arXiv 2203.09630).
        error_free: exact values and one-hot rows forward, the soft derivative backward (arXiv 2310.07174).
        layout: "bitonic" or "odd_even".

    >>> from softtorch.modes import SMOOTH
    >>> from softtorch.methods.positions import Every
    >>> method = SortingNetwork(swap="cauchy", error_free=True)
    >>> method.values(method.prepare(torch.tensor([3.0, 1.0, 2.0]), 0.1, SMOOTH, False), Every())
    tensor([1., 2., 3.])
    """

    swap: str = "logistic"
    error_free: bool = False
    layout: str = "bitonic"

    name = "sorting_network"
    pairs_index = False
    contract = Contract(
        smoothness="the swap's",
        time=_COST,
        memory=_COST,
        source="arXiv 2105.04019",
        ordered=NO,
        monotone=Law((), note="with the swaps reciprocal, cauchy, optimal without standardizing"),
        equivariant=NO,
        ties="split evenly in each swap",
    )

    def __post_init__(self) -> None:
        for option, value, legal in (("swap", self.swap, SWAPS), ("layout", self.layout, NETWORKS)):
            if value not in legal:
                wrong, known = f"unknown {option} {value!r}", f"Known: {', '.join(legal)}"
                raise OptionError(message("SortingNetwork", wrong, known, nearest(value, legal)))

    def _rows(self, keys: Keys, positions: Positions) -> Tensor:
        sorted_keys, weights, layers = self._run(keys)
        size = NETWORKS[self.layout][1](keys.n)
        place = torch.arange(size, device=keys.raw.device)
        start = (positions.index(keys.n, place.device).unsqueeze(-1) == place).to(keys.raw.dtype)
        # A single entry meets nobody: 0 times the keys gives its row their batch shape, gradient and NaN.
        start = start + 0.0 * sorted_keys.unsqueeze(-2)
        rows = network.rows(start, weights, layers, self.error_free)[..., : keys.n]
        mass = rows.sum(dim=-1, keepdim=True)
        return settled(rows / torch.where(mass > 0, mass, 1.0), keys, positions)

    def _values(self, keys: Keys, positions: Positions) -> Tensor:
        sorted_keys, weights, layers = self._run(keys)
        index = positions.index(keys.n, keys.raw.device)
        chosen = keys.restored(sorted_keys.index_select(-1, index))
        if self.error_free:  # standardizing and back would leave its rounding on them
            raw = pad(torch.where(keys.level == 0, keys.raw, 0.0).detach(), (0, sorted_keys.shape[-1] - keys.n))
            chosen = network.exactly(network.decided(raw, weights, layers).index_select(-1, index), chosen)
        return with_extremes(chosen, keys, positions)

    def _run(self, keys: Keys) -> tuple[Tensor, list[Tensor], list[network.Layer]]:
        """The keys after all swaps, (..., size), the weights of each layer, and the layers."""
        layers_of, size_of = NETWORKS[self.layout]
        size, x = size_of(keys.n), keys.compared
        layers = list(layers_of(size, x.device))
        function, softness = SWAPS[self.swap](keys.mode), keys.softness
        padded, level = _padded(keys, size)
        same = keys.moderate and size == keys.n

        def swap(difference: Tensor) -> Tensor:
            return function(difference / softness)

        result, weights = network.run(padded, None if same else level, layers, swap, self.error_free)
        return result, weights, layers


def _padded(keys: Keys, size: int) -> tuple[Tensor, Tensor]:
    """Keys and their levels, (..., size) each, with constants at the end that belong in the last places."""
    x = keys.compared
    level = keys.level.expand(x.shape)
    if size == keys.n:
        return x, level
    extra = (0, size - keys.n)
    # Standardized keys lie below 1, where SoftTorch 0.1.1 puts them. Others have no such place: SoftTorch takes the
    # maximum of the whole batch plus 1, by which a row would depend on its batch. So constants count as infinite there,
    # and as everywhere beside entries that do: swaps with them are hard.
    top = x.new_ones(())
    mixes = (keys.above + keys.below == 0) if keys.standardized else torch.zeros_like(keys.above, dtype=torch.bool)
    top_level = (~mixes).to(level.dtype)
    inside = torch.arange(size, device=x.device) < keys.n
    # pad and then where: an expanded constant would make a graph for one missing entry another one.
    return torch.where(inside, pad(x, extra), top), torch.where(inside, pad(level, extra), top_level)
