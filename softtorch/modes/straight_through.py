"""The mode of straight-through forms: the value of mode `hard` with the derivative of another mode."""

from typing import TypeGuard

from torch import Tensor

from softtorch.kernels.joined import joined
from softtorch.modes.base import Mode
from softtorch.modes.hard import Hard

_HARD = Hard()


class StraightThrough(Mode):
    """Every curve has the value of its step or corner in mode `hard` and the derivative that it has in mode `soft`.

    Elementwise operators take it for the whole of their formula rather than curve by curve (operators/relaxed.py), so
    that a product of two soft factors has the derivative of the soft product. Methods are not defined in it.
    """

    name = "straight_through"
    continuity = -1

    def __init__(self, soft: Mode) -> None:
        self.soft = soft

    @property
    def tailless(self) -> Mode:
        return StraightThrough(self.soft.tailless)

    @property
    def summed(self) -> Mode:
        return StraightThrough(self.soft.summed)

    def by_passes(self, softness: Tensor | float, x: Tensor) -> TypeGuard[float]:
        return False  # passes by hand have one curve, not the value of one and the derivative of another

    def sigmoidal(self, u: Tensor) -> Tensor:
        return joined(_HARD.sigmoidal(u), self.soft.sigmoidal(u))

    def density(self, u: Tensor) -> Tensor:
        return self.soft.density(u)

    def softrelu(self, u: Tensor) -> Tensor:
        return joined(_HARD.softrelu(u), self.soft.softrelu(u))

    def project(self, z: Tensor) -> Tensor:
        return joined(_HARD.project(z), self.soft.project(z))
