"""What softfx raises for a user's mistake or a model it cannot take.

Every message reads `where: what is wrong, with the value. What is legal. What to do.` The command line prints
it and exits with status 2. Errors of the model itself are not wrapped unless softfx can say more than they
do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BlockedError",
    "CaptureError",
    "MissingPackageError",
    "PolicyError",
    "ScheduleError",
    "SoftfxError",
    "TargetError",
    "did_you_mean",
    "listed",
]


class SoftfxError(Exception):
    """Base of all errors that softfx raises on purpose."""


class PolicyError(SoftfxError, ValueError):
    """A policy that cannot be read, or whose entries contradict each other or match nothing."""


class MissingPackageError(SoftfxError, ImportError):
    """An optional package that is asked for and not installed."""


class ScheduleError(SoftfxError, ValueError):
    """A softness schedule that drives nothing, or whose numbers or saved state do not fit."""


class TargetError(SoftfxError, ValueError):
    """A target or an input of the command line that cannot be found, built or read."""


class CaptureError(SoftfxError, RuntimeError):
    """A model that could not be captured or run on its example inputs."""


class BlockedError(SoftfxError, RuntimeError):
    """A site that the policy wants softened, cannot be, and may not be kept (`on_blocked = "error"`)."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """' Did you mean ...?' with the nearest of the known names, or nothing."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def listed(names: Iterable[str], limit: int = 12) -> str:
    """The names after each other, cut off with a count where there are too many to read."""
    names = list(names)
    if len(names) > limit:
        return ", ".join(names[:limit]) + f" and {len(names) - limit} more"
    return ", ".join(names)
