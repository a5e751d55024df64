"""Methods that are not symmetric under x -> -x, and what that means for the smallest entries.

SoftTorch 0.1.1 defines min as -max(-x) and argmin as argmax(-x). For softsort, neuralsort, ot and lapsum that is the
place 0 in ascending order; for the others it is not the same number, and they derive from this class.
"""

from abc import abstractmethod

from torch import Tensor

from softtorch.methods.base import Method
from softtorch.methods.keys import Keys
from softtorch.methods.positions import Positions


class Mirrored(Method):
    """A method that answers for mirrored positions on the negated keys; it supplies `_values`, and `_rows` if any."""

    def rows(self, keys: Keys, positions: Positions) -> Tensor:
        mirror = positions.mirror
        return self._rows(keys, positions) if mirror is None else self._rows(keys.negated(), mirror)

    def values(self, keys: Keys, positions: Positions, gated_grad: bool = True) -> Tensor:
        mirror = positions.mirror
        return self._values(keys, positions) if mirror is None else -self._values(keys.negated(), mirror)

    def _rows(self, keys: Keys, positions: Positions) -> Tensor:
        """Rows (..., k, [n]) of positions in ascending order."""
        self._cannot("gives no soft indices")

    @abstractmethod
    def _values(self, keys: Keys, positions: Positions) -> Tensor:
        """Values (..., k) of positions in ascending order; there are no weights to stop a gradient at."""
