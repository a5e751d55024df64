"""The protocol of a mode: the one family of curves that every relaxation of that smoothness is built from.

A mode answers for a single number (`sigmoidal`, `softrelu`) and for a vector (`project`, onto the simplex). Nothing
here knows an operator or a method. To add a mode: one file with one subclass, one line in modes/__init__.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeGuard, TypeVar

from torch import Tensor
from torch.nn.functional import hardtanh

from softtorch.kernels import simplex
from softtorch.kernels.numeric.precision import log_probability
from softtorch.kernels.pointwise import curves
from softtorch.kernels.pointwise.curves import Curves
from softtorch.kernels.pointwise.fused import Fused, run
from softtorch.kernels.pointwise.logistic import SATURATION as SATURATION
from softtorch.kernels.pointwise.polynomial import HALF_WIDTH as HALF_WIDTH
from softtorch.kernels.pointwise.slopes import with_slopes

T = TypeVar("T")


class Mode(ABC):
    """One smoothness class. Instances hold no state: equal names mean equal behaviour.

    Laws, for every mode:
    - sigmoidal is nondecreasing from 0 to 1 with sigmoidal(-u) = 1 - sigmoidal(u);
    - softrelu is its antiderivative, softrelu(u) - softrelu(-u) = u; 0 far to the left, but for a step with a tail;
    - project(z) lies on the simplex, is equivariant under permutations and unchanged by z + constant, never orders two
      entries otherwise than z does, gives entries of -inf exactly 0, and tends to the one-hot argmax of z as z is
      scaled up;
    - each is `continuity` times continuously differentiable.
    """

    name: ClassVar[str]
    continuity: ClassVar[float]
    """How many continuous derivatives the curves have: 0, 1, 2, or infinity; -1 for the steps of `hard`."""
    curves: ClassVar[Curves]
    """The passes of elementwise operators; mode `hard` has torch's own functions instead."""
    power: ClassVar[int] = 0
    """r of the link (z - threshold)_+^r that scores go through; 0 where it is the exponential instead."""

    saturation: ClassVar[float] = SATURATION
    """The u from which on the step is taken for constant where it is multiplied by u."""
    has_tail: ClassVar[bool] = False
    """True if the density falls so slowly that it is felt far from the threshold."""
    widths: ClassVar[tuple[float, ...]] = (1.0,)
    """The factors of several softnesses, of which rows are the mean."""

    @property
    def tailless(self) -> "Mode":
        """The mode for rows of scores: this one, or another where its step is none of a row."""
        return self

    @property
    def summed(self) -> "Mode":
        """The mode for sums of many steps: this one, or `smooth` where its steps have tails, which would add up."""
        return self

    @abstractmethod
    def sigmoidal(self, u: Tensor) -> Tensor:
        """The soft step of u = x / softness, any shape, in [0, 1]."""

    @abstractmethod
    def softrelu(self, u: Tensor) -> Tensor:
        """The integral of `sigmoidal` at u = x / softness, any shape; times softness it is a soft relu of x."""

    @abstractmethod
    def project(self, z: Tensor) -> Tensor:
        """Scores z = scores / softness, (..., [n]), to probabilities (..., [n]); one entry a row must be finite."""

    def log_project(self, z: Tensor) -> Tensor:
        """The logarithm of `project(z)`, (..., [n]), with exact zeros at -inf."""
        return log_probability(self.project(z))

    @abstractmethod
    def density(self, u: Tensor) -> Tensor:
        """The derivative of `sigmoidal`, any shape: a bump of area 1 around 0."""

    def sign(self, u: Tensor) -> Tensor:
        """2 sigmoidal(u) - 1, any shape, in [-1, 1]."""
        return 2.0 * self.sigmoidal(u) - 1.0

    def step_of(self, x: Tensor, softness: Tensor | float) -> Tensor:
        """sigmoidal(x / softness), any shape."""
        return self._in_units(self.step_function, self.plain_step, x, softness)

    def sign_of(self, x: Tensor, softness: Tensor | float) -> Tensor:
        """sign(x / softness), any shape."""
        return self._in_units(self.sign_function, self.plain_sign, x, softness)

    def softabs(self, x: Tensor, softness: Tensor | float) -> Tensor:
        """x times the soft sign of x / softness, any shape: abs(x) as softness -> 0."""
        unit = self._in_units(self.absolute_function, self.plain_absolute, x, softness)
        return softness * unit if isinstance(softness, Tensor) else unit

    def ramp_of(self, x: Tensor, softness: Tensor | float) -> Tensor:
        """softness * softrelu(x / softness), any shape: relu(x) as softness -> 0."""
        unit = self._in_units(self.ramp_function, self.plain_ramp, x, softness)
        return softness * unit if isinstance(softness, Tensor) else unit

    def by_passes(self, softness: Tensor | float, x: Tensor) -> TypeGuard[float]:
        """Return True if the softness is a number, which passes by hand need, and they pay for this x, any shape."""
        return not isinstance(softness, Tensor) and not self.curves.plainly(x)

    def _in_units(
        self, fused: Callable[[float], Fused], plain: Callable[[Tensor, float], Tensor], x: Tensor, s: Tensor | float
    ) -> Tensor:
        """The curve at x, as it is for a softness of s; at x / s, as it is for a softness of 1, where s is a tensor."""
        if isinstance(s, Tensor):
            x, s = x / s, 1.0
        return run(fused(s), x) if self.by_passes(s, x) else plain(x, s)

    def step_function(self, s: float) -> Fused:
        """sigmoidal(x / s) in few passes."""
        return curves.step(self.curves, s, lambda x: self.plain_step(x, s))

    def sign_function(self, s: float) -> Fused:
        """sign(x / s) in few passes."""
        return curves.sign(self.curves, s, lambda x: self.plain_sign(x, s))

    def absolute_function(self, s: float) -> Fused:
        """x sign(x / s) in few passes."""
        return curves.absolute(self.curves, s, lambda x: self.plain_absolute(x, s))

    def ramp_function(self, s: float) -> Fused:
        """s softrelu(x / s) in few passes."""
        return curves.ramp(self.curves, s, lambda x: self.plain_ramp(x, s))

    def plain_step(self, x: Tensor, s: float) -> Tensor:
        """sigmoidal(x / s), any shape, in torch's own operators; so the next three."""
        return self.sigmoidal(x / s)

    def plain_sign(self, x: Tensor, s: float) -> Tensor:
        """sign(x / s), any shape."""
        return self.sign(x / s)

    def plain_absolute(self, x: Tensor, s: float) -> Tensor:
        """x sign(x / s), any shape."""
        # The sign is constant far out. Bounding its argument there makes inf * 0 of the derivative a plain 0.
        return x * self.sign(hardtanh(x / s, -self.saturation, self.saturation))

    def plain_ramp(self, x: Tensor, s: float) -> Tensor:
        """s softrelu(x / s), any shape."""
        return s * self.softrelu(x / s)

    def select(self, hard: T, soft: T) -> T:
        """`soft`, or `hard` in the mode of that name: how an operator brings torch's own function.

        >>> from softtorch.modes import C0, HARD
        >>> HARD.select(len, sum)([3, 4]), C0.select(len, sum)([3, 4])
        (2, 7)
        """
        return soft

    def __repr__(self) -> str:
        return f"<mode {self.name}>"


class Piecewise(Mode):
    """Modes whose curves are polynomials in t = u / 5 on [-1, 1] and constant or linear outside.

    A subclass gives the polynomials and the power r of its projection, p_i = (z_i - threshold)_+^r.
    """

    @abstractmethod
    def step(self, t: Tensor) -> Tensor:
        """The polynomial that rises from 0 at t = -1 to 1 at t = 1."""

    @abstractmethod
    def ramp(self, t: Tensor) -> Tensor:
        """The antiderivative of `step`: 0 at t = -1 and 1 at t = 1."""

    @abstractmethod
    def bump(self, t: Tensor) -> Tensor:
        """The derivative of `step`, for t in [-1, 1]."""

    def sigmoidal(self, u: Tensor) -> Tensor:
        return with_slopes(self._sigmoidal, [self.density], u)

    def softrelu(self, u: Tensor) -> Tensor:
        return with_slopes(self._softrelu, [self.sigmoidal], u)

    def _sigmoidal(self, u: Tensor) -> Tensor:
        return self.step(self.inside(u / HALF_WIDTH))

    def inside(self, t: Tensor) -> Tensor:
        """t cut to [-1, 1], any shape; its derivative at the two ends is that of the step."""
        return t.clamp(-1.0, 1.0)

    def _softrelu(self, u: Tensor) -> Tensor:
        inside = self.ramp((u / HALF_WIDTH).clamp(-1.0, 1.0))
        return HALF_WIDTH * inside + (u - HALF_WIDTH).relu()

    def density(self, u: Tensor) -> Tensor:
        return self.bump((u / HALF_WIDTH).clamp(-1.0, 1.0)) / HALF_WIDTH

    def project(self, z: Tensor) -> Tensor:
        return simplex.project(z, self.power)
