"""Mode `tailed`: a normal step with a Cauchy tail, whose derivative is felt far from the threshold."""

import math

import torch
from torch import Tensor

from softtorch.kernels.pointwise import tailed
from softtorch.modes.base import Mode
from softtorch.modes.smooth import SMOOTH


class Tailed(Mode):
    """For elementwise decisions: the density falls as 1 / u^2, so that a threshold far from all data still moves.

    Where many steps are summed, as in a staircase, tails would add up, and a row of scores has no step: there it is
    mode `smooth` (`summed`, `tailless`). The ramp is the integral of the step from 0 on: far to the left it is not 0
    but falls as a logarithm, which times the softness vanishes in the limit.

    Rows of method `lapsum` are the mean of those of this softness, of seven and of 49 times as much: an entry that is
    many softnesses from being chosen has a derivative, and near the threshold the sharp third has most of it.
    """

    name = "tailed"
    continuity = math.inf
    curves = tailed.TailedCurves()
    has_tail = True
    saturation = tailed.FAR
    widths = (1.0, 7.0, 49.0)

    @property
    def tailless(self) -> Mode:
        return SMOOTH

    @property
    def summed(self) -> Mode:
        return SMOOTH

    def sigmoidal(self, u: Tensor) -> Tensor:
        return tailed.below(u)

    def density(self, u: Tensor) -> Tensor:
        return tailed.bump(u)

    def sign(self, u: Tensor) -> Tensor:
        return tailed.odd(u)

    def softrelu(self, u: Tensor) -> Tensor:
        far = u.abs() > tailed.FAR  # where the step is 0 or 1 to twelve digits, and its square overflows
        return torch.where(far, u.relu(), tailed.area(torch.where(far, 0.0, u)))

    def project(self, z: Tensor) -> Tensor:
        return torch.softmax(z, dim=-1)

    def log_project(self, z: Tensor) -> Tensor:
        return torch.log_softmax(z, dim=-1)
