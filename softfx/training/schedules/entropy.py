"""The schedule by feedback: it reaches a softness at which soft indices have the entropy asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from softfx.errors import ScheduleError
from softfx.training.schedules.base import SoftnessSchedule, check_positive

__all__ = ["EntropySoftness", "normalized_entropy"]


class EntropySoftness(SoftnessSchedule):
    """Adapts the softness until the soft indices have the entropy asked for.

    Each step multiplies the softness by exp(gain * (entropy - the mean normalized entropy of the indices)): a choice
    among many, or among close scores, gets the softness that it needs, and keeps it while the scores grow. One
    number is read back from the device at each step.

    Args:
        target: the softened module or function, or a 0-dim floating tensor that is filled in place.
        entropy: the mean normalized entropy to reach, between 0 (one-hot) and 1 (uniform).
        start: the softness at first.
        gain: the speed of the feedback; 1 is steady for up to some thousand choices.
        bounds: the least and the largest softness.
        probe: called by `step()` without arguments for the soft indices, computed at the present softness.
        pattern: the sites of a softened target, as `softfx.set_softness` takes it.
        relative: start and bounds are in units of the data, site by site: spreads of what each decides about.

    Raises:
        ScheduleError: the target has no softness, or a number is out of range; from `step`, indices are missing or are
            no choice.

    Source: Velickovic et al. 2024, arXiv 2410.01104, section 5, where the temperature adapts to the entropy by a
        polynomial that is fitted beforehand; here it adapts by feedback on the entropy itself.

    Example:
        >>> import softtorch
        >>> softness, scores = torch.tensor(0.0), torch.tensor([[0.1, 0.7, 0.3], [0.4, 0.2, 0.9]])
        >>> schedule = EntropySoftness(softness, entropy=0.5, start=1.0)
        >>> for _ in range(100):
        ...     schedule.step(softtorch.argmax(scores, softness=softness, dim=-1))
        >>> print(f"{normalized_entropy(softtorch.argmax(scores, softness=softness, dim=-1)):.3f}")
        0.500
    """

    def __init__(
        self,
        target: Tensor | Callable[..., object],
        entropy: float,
        start: float = 0.1,
        *,
        gain: float = 1.0,
        bounds: tuple[float, float] = (1e-4, 1e4),
        probe: Callable[[], Tensor | Sequence[Tensor]] | None = None,
        pattern: str = "*",
        relative: bool = False,
    ) -> None:
        super().__init__(target, pattern, relative)
        where = type(self).__name__
        check_positive(where, start=start, gain=gain, least=bounds[0], largest=bounds[1])
        if not 0.0 < entropy < 1.0 or bounds[0] > bounds[1]:
            raise ScheduleError(
                f"{where}: entropy={entropy}, bounds={bounds}. The entropy is between 0 and 1, the bounds are least "
                "and largest. Change them."
            )
        self.entropy, self.start, self.gain, self.probe = float(entropy), float(start), float(gain), probe
        self.least, self.largest = (float(bound) for bound in bounds)
        self.last_entropy: float | None = None
        self.restart()

    def softness_at(self, epoch: int) -> float:
        """The softness at the start; afterwards it depends on the entropies seen."""
        return self.start

    def step(self, indices: Tensor | Sequence[Tensor] | None = None) -> None:
        """Advance by one step.

        Args:
            indices: SoftIndices (..., [n]) computed at the present softness, one tensor or several; by default the
                indices that the probe returns.
        """
        if indices is None:
            if self.probe is None:
                raise ScheduleError(
                    "EntropySoftness: step() was called without indices and there is no probe. It adapts to soft "
                    "indices (..., [n]). Write step(indices), or EntropySoftness(..., probe=function)."
                )
            with torch.no_grad():
                indices = self.probe()
        found = normalized_entropy(indices)
        factor = math.exp(self.gain * (self.entropy - found))
        self.last_epoch += 1
        self.last_entropy = found
        self.apply(min(max(self._last_softness * factor, self.least), self.largest))


def normalized_entropy(indices: Tensor | Sequence[Tensor]) -> float:
    """The mean entropy of soft indices, in units of the entropy of the uniform distribution over as many choices.

    Args:
        indices: SoftIndices (..., [n]) with n > 1, one tensor or several; every distribution counts the same.

    Raises:
        ScheduleError: there is no distribution, or one over less than two choices.

    Example:
        >>> normalized_entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
        0.5
    """
    tensors = [indices] if isinstance(indices, Tensor) else list(indices)
    for tensor in tensors:
        if tensor.dim() == 0 or tensor.shape[-1] < 2 or not tensor.is_floating_point():
            raise ScheduleError(
                f"normalized_entropy: a tensor of shape {tuple(tensor.shape)} and {tensor.dtype} is no soft choice. "
                "Soft indices are distributions over two choices or more in the last dim. Pass those."
            )
    if not sum(tensor.numel() for tensor in tensors):
        raise ScheduleError("normalized_entropy: there are no soft indices. Pass at least one distribution.")
    with torch.no_grad():
        each = [_entropies(tensor) for tensor in tensors]
        return float(torch.cat([entropies.to(each[0].device) for entropies in each]).mean())


def _entropies(indices: Tensor) -> Tensor:
    """The entropy of each row, (..., [n]) -> (rows,), in float64 for the small differences near one-hot."""
    p = indices.detach().to("cpu" if indices.device.type == "mps" else indices.device).double().clamp(min=0.0)
    entropies: Tensor = torch.special.entr(p).sum(-1).flatten()
    return entropies / math.log(indices.shape[-1])
