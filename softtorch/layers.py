"""Operators as layers, where a module is expected: Softpick, Entmax, SoftSort.

LogicLayer is with the gates in gates.py, SoftpickAttention in attention.py. A layer holds the options of one operator
and computes nothing itself. To add one: its options in __init__, the operator in forward.
"""

from torch import Tensor, nn

from softtorch.methods import Method
from softtorch.modes import Mode
from softtorch.operators.axiswise import argsort
from softtorch.operators.normalize import entmax, softpick

__all__ = ["Entmax", "SoftSort", "Softpick"]


class Softpick(nn.Module):
    """`softpick` as a layer, in place of nn.Softmax: (..., n, ...) -> (..., n, ...).

    Example:
        >>> import torch, softtorch
        >>> softtorch.Softpick()(torch.tensor([1.0, -2.0]))
        tensor([ 0.2500, -0.5000])
    """

    def __init__(self, dim: int = -1, variant: str = "abs") -> None:
        super().__init__()
        self.dim, self.variant = dim, variant

    def forward(self, x: Tensor) -> Tensor:
        """Scores (..., n, ...) to weights (..., n, ...)."""
        return softpick(x, self.dim, self.variant)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, variant={self.variant!r}"


class Entmax(nn.Module):
    """`entmax` as a layer, in place of nn.Softmax: (..., n, ...) -> (..., n, ...).

    With `learned` alpha is a parameter that stays within 1 and 2, as in arXiv 1909.00015.

    Example:
        >>> import torch, softtorch
        >>> softtorch.Entmax(alpha=2.0)(torch.tensor([2.0, 2.0, -2.0]))
        tensor([0.5000, 0.5000, 0.0000])
    """

    def __init__(self, alpha: float = 1.5, dim: int = -1, learned: bool = False) -> None:
        super().__init__()
        self.fixed, self.dim = alpha, dim
        start = Tensor([alpha - 1.0]).logit().reshape(()) if learned else None
        self.raw = None if start is None else nn.Parameter(start)

    @property
    def alpha(self) -> Tensor | float:
        """The alpha in use."""
        return self.fixed if self.raw is None else 1.0 + self.raw.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Scores (..., n, ...) to probabilities (..., n, ...)."""
        return entmax(x, self.alpha, self.dim)

    def extra_repr(self) -> str:
        return f"alpha={self.fixed}, dim={self.dim}, learned={self.raw is not None}"


class SoftSort(nn.Module):
    """`argsort` as a layer: scores (..., n) to a soft permutation matrix (..., n, [n]).

    Example:
        >>> import torch, softtorch
        >>> softtorch.SoftSort(mode="c0")(torch.tensor([2.0, 0.0]))
        tensor([[0., 1.],
                [1., 0.]])
    """

    def __init__(
        self,
        softness: Tensor | float = 0.1,
        mode: str | Mode = "smooth",
        method: str | Method = "softsort",
        descending: bool = False,
        standardize: bool = True,
    ) -> None:
        super().__init__()
        self.softness, self.mode, self.method = softness, mode, method
        self.descending, self.standardize = descending, standardize

    def forward(self, x: Tensor) -> Tensor:
        """Scores (..., n) to rows, one for each place of the sorted order, (..., n, [n])."""
        return argsort(x, -1, self.descending, self.softness, self.mode, self.method, self.standardize)

    def extra_repr(self) -> str:
        return f"softness={self.softness}, mode={self.mode!r}, method={self.method!r}"
