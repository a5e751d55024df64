"""Modes `c1_pnorm` and `c2_pnorm`: the step is the p-norm projection of a pair of scores, as of a row in `c1` and `c2`.

With a - b = t and a^r + b^r = 1 for r = 1 / (p - 1) the step at t is a^r: the first entry of the projection of (t, 0)
onto distributions. It rises on [-1, 1], which are five softnesses as in the polynomial modes.
"""

from abc import abstractmethod
from typing import TypeGuard

import torch
from torch import Tensor

from softtorch.kernels.pointwise.polynomial import C1_CURVES, C2_CURVES
from softtorch.modes.base import Mode, Piecewise
from softtorch.modes.c1 import C1
from softtorch.modes.c2 import C2


class PNorm(Piecewise):
    """Rows of scores are those of the polynomial mode of the same smoothness, whose projections are the same."""

    rows: Mode

    @property
    def tailless(self) -> Mode:
        return self.rows

    def by_passes(self, softness: Tensor | float, x: Tensor) -> TypeGuard[float]:
        return False  # roots have no passes by hand

    @abstractmethod
    def root(self, t: Tensor) -> Tensor:
        """a for t in [-1, 1], any shape; b is a at -t."""

    def step(self, t: Tensor) -> Tensor:
        return self.root(t).clamp(0.0, 1.0).pow(self.power)

    def ramp(self, t: Tensor) -> Tensor:
        a, b = self.root(t).clamp(0.0, 1.0), self.root(-t).clamp(0.0, 1.0)
        bend = self.power / (self.power + 1.0)
        return a.pow(self.power) * t + bend * (1.0 - a.pow(self.power + 1) - b.pow(self.power + 1))

    def bump(self, t: Tensor) -> Tensor:
        a, b = (self.root(side).clamp(0.0, 1.0).pow(self.power - 1) for side in (t, -t))
        return self.power * a * b / (a + b)


class C1PNorm(PNorm):
    """p = 3/2: a is a root of 2 a^2 - 2 a t + t^2 = 1."""

    name = "c1_pnorm"
    curves = C1_CURVES
    continuity = 1
    power = 2
    rows = C1()

    def root(self, t: Tensor) -> Tensor:
        return (t + (2.0 - t.square()).sqrt()) / 2.0


class C2PNorm(PNorm):
    """p = 4/3: a = m + t / 2, where m is the real root of m^3 + 3/4 t^2 m = 1/2."""

    name = "c2_pnorm"
    curves = C2_CURVES
    continuity = 2
    power = 3
    rows = C2()

    def root(self, t: Tensor) -> Tensor:
        # Cardano's formula, its second cube root written without a difference of equal numbers.
        large = (0.25 + torch.sqrt(0.0625 + t.pow(6) / 64.0)).pow(1.0 / 3.0)
        return large - t.square() / (4.0 * large) + t / 2.0
