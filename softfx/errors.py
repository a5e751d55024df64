"""The errors that softfx raises for a mistake of the user or for a model that it cannot take.

Every message reads `where: what is wrong, with the value. What is legal. What to do.` The command line prints it and
exits with status 2. Errors of the model itself are not wrapped, unless softfx can add something to them.
"""

from __future__ import annotations

import difflib
import reprlib
import sys
from collections.abc import Iterable

from softfx.visible import visible

__all__ = [
    "BlockedError",
    "CaptureError",
    "ControlError",
    "MissingPackageError",
    "PolicyError",
    "ScheduleError",
    "SoftfxError",
    "SpecError",
    "TargetError",
    "UnseenError",
    "brief",
    "did_you_mean",
    "listed",
]


class _Brief(reprlib.Repr):
    """Values as Python writes them, up to a length at which a message is still read."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 6, 200, 200, 200
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = 12

    def repr_int(self, x: int, level: int) -> str:
        return brief(x) if abs(x) > sys.float_info.max else super().repr_int(x, level)


_BRIEF = _Brief()
_LONGEST_NAME = 200  # of those that are compared with the known ones


class SoftfxError(Exception):
    """The base of all errors that softfx raises on purpose.

    Its text holds names, paths and source lines of others; what a terminal would obey in them is shown escaped.
    """

    def __str__(self) -> str:
        return visible(super().__str__(), keep="\n\t")


class PolicyError(SoftfxError, ValueError):
    """The policy cannot be read, or its entries contradict each other or match nothing."""


class MissingPackageError(SoftfxError, ImportError):
    """An optional package is needed and not installed."""


class ScheduleError(SoftfxError, ValueError):
    """A softness schedule has no target to drive, or its numbers or its saved state do not fit."""


class TargetError(SoftfxError, ValueError):
    """A target or an input of the command line cannot be found, built or read."""


class CaptureError(SoftfxError, RuntimeError):
    """The model could not be captured, or it could not be run on its example inputs."""


class UnseenError(CaptureError):
    """The target runs by itself, but not where softfx looks on at its torch calls."""


class BlockedError(SoftfxError, RuntimeError):
    """A site cannot be softened as the policy asks, and may not be kept either (`on_blocked = "error"`)."""


class ControlError(SoftfxError, RuntimeError):
    """A call with control sites is made where it cannot be run again, or is asked for what its runs do not give."""


class SpecError(SoftfxError, RuntimeError):
    """A rewrite that breaks its specification (softfx.pipeline.verify): a defect of softfx, never of the model."""

    def __str__(self) -> str:
        return (
            f"{super().__str__()}\nThis is a defect of softfx, not of the model. Please report it with this message; "
            "until it is mended take executor='eager', which runs the original Python softly and rewrites no graph."
        )


def brief(value: object) -> str:
    """The value for a message, on one line: as Python writes it, cut where it is long; of a large tensor its shape.

    >>> brief("a" * 1000)[:12], brief([[[[[[[1]]]]]]]), brief(9**9999)
    ("'aaaaaaaaaaa", '[[[[[[...]]]]]]', 'a whole number beyond all floats')
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > sys.float_info.max:
        return "a whole number beyond all floats"
    text = _BRIEF.repr(value)
    if "\n" not in text:
        return text
    shape = getattr(value, "shape", None)  # of a tensor or an array whose numbers fill lines
    return " ".join(text.split()) if shape is None else f"{type(value).__name__} of shape {tuple(shape)}"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The sentence ' Did you mean ...?' with the nearest of the known names, or nothing; capitals make no difference.

    >>> did_you_mean("C1", ["c1", "smooth"]), did_you_mean("tailed", ["c1"])
    (" Did you mean 'c1'?", '')
    """
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return ""
    known = list(known)
    by_small = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    near = near or [by_small[each] for each in difflib.get_close_matches(name.lower(), by_small, n=1, cutoff=0.6)]
    return f" Did you mean {near[0]!r}?" if near else ""


def listed(names: Iterable[str], limit: int = 12) -> str:
    """The names joined by commas; names beyond the limit are only counted."""
    names = list(names)
    if len(names) > limit:
        return ", ".join(names[:limit]) + f" and {len(names) - limit} more"
    return ", ".join(names)
