"""Estimators: what is differentiated in place of a hard function, by name.

An Estimator tells `st` what to differentiate; its name is what users write. The two that are of use without `st` are
functions as well, in reinmax_and_rotation.py. To add one: a subclass of Estimator, and a line in ESTIMATORS.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from softtorch.errors import OptionError, message, nearest
from softtorch.kernels.numeric.noise import gumbel_like, logistic_like
from softtorch.kernels.surrogate_gradients import rotated, second_order

__all__ = ["ESTIMATORS", "Estimator"]


class Estimator(ABC):
    """A choice of what is differentiated in place of a hard function."""

    name: ClassVar[str]

    def inputs(self, args: tuple[Any, ...], along_dim: bool) -> tuple[Any, ...]:
        """The positional arguments for both sides; `along_dim` for functions that choose along a dim."""
        return args

    @abstractmethod
    def surrogate(self, hard: Any, soft: Callable[[], Any], args: tuple[Any, ...], along_dim: bool) -> Any:
        """The result to differentiate in place of `hard`, of its structure, for a call with these arguments."""


class Soft(Estimator):
    """The derivative of the soft function."""

    name = "soft"

    def surrogate(self, hard: Any, soft: Callable[[], Any], args: tuple[Any, ...], along_dim: bool) -> Any:
        return soft()


class Identity(Estimator):
    """The derivative of the first argument itself, for elementwise functions (arXiv 1308.3432)."""

    name = "identity"

    def surrogate(self, hard: Any, soft: Callable[[], Any], args: tuple[Any, ...], along_dim: bool) -> Any:
        if along_dim or not isinstance(hard, Tensor) or not args or hard.shape != args[0].shape:
            raise _unfit("identity", "work element by element and keep the shape of their first argument")
        return args[0]


class ReinMax(Estimator):
    """The second-order derivative of ReinMax, for functions that give one SoftIndex (arXiv 2304.08612)."""

    name = "reinmax"

    def surrogate(self, hard: Any, soft: Callable[[], Any], args: tuple[Any, ...], along_dim: bool) -> Any:
        probabilities = soft()
        if not isinstance(probabilities, Tensor):
            raise _unfit("reinmax", "give one soft index")
        return second_order(hard.detach(), probabilities)


class Rotation(Estimator):
    """The rotation that takes the first argument to the value, for vector quantizers (arXiv 2410.06424)."""

    name = "rotation"

    def surrogate(self, hard: Any, soft: Callable[[], Any], args: tuple[Any, ...], along_dim: bool) -> Any:
        if not isinstance(hard, Tensor) or not args or hard.shape != args[0].shape:
            raise _unfit("rotation", "keep the shape of their first argument")
        return rotated(args[0], hard.detach())


class Gumbel(Estimator):
    """The soft derivative with noise on the first argument, of both sides: a draw instead of the most likely value.

    Gumbel noise where one of several is chosen along a dim, logistic noise where each element decides for itself.
    """

    name = "gumbel"

    def inputs(self, args: tuple[Any, ...], along_dim: bool) -> tuple[Any, ...]:
        first, *others = args
        noise = gumbel_like if along_dim else logistic_like
        return (first + noise(first.detach()), *others)

    def surrogate(self, hard: Any, soft: Callable[[], Any], args: tuple[Any, ...], along_dim: bool) -> Any:
        return soft()


ESTIMATORS: dict[str, Estimator] = {e.name: e for e in (Soft(), Identity(), ReinMax(), Rotation(), Gumbel())}
"""Every estimator by its name."""


def resolve_estimator(where: str, estimator: str | Estimator) -> Estimator:
    """The estimator object for a name, or the object itself."""
    if isinstance(estimator, Estimator):
        return estimator
    if estimator not in ESTIMATORS:
        legal = f"Estimators: {', '.join(ESTIMATORS)}"
        wrong = f"unknown estimator {estimator!r}"
        raise OptionError(message(where, wrong, legal, nearest(estimator, ESTIMATORS)))
    return ESTIMATORS[estimator]


def _unfit(name: str, functions: str) -> OptionError:
    wrong = f"estimator {name!r} is for functions that {functions}"
    return OptionError(message("st", wrong, "Estimator 'soft' is for all functions"))
