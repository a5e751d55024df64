"""The softness of a site in a recording: a number of which it is known whose it is.

Functions that are written of a recording look it up at each run, so that a schedule trains by one recording. That is
right where the number is but handed on to soft forms. Where something else is done with it while a run is recorded, a
comparison, a product, the recording holds for this softness alone: the number tells the recorder so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softfx.ops.calls import Args, Kwargs

__all__ = ["SiteSoftness", "unmarked"]

_ASKED = (
    "__abs__", "__add__", "__bool__", "__ceil__", "__divmod__", "__eq__", "__float__", "__floor__", "__floordiv__",
    "__ge__", "__gt__", "__int__", "__le__", "__lt__", "__mod__", "__mul__", "__ne__", "__neg__", "__pos__", "__pow__",
    "__radd__", "__rdivmod__", "__rfloordiv__", "__rmod__", "__rmul__", "__round__", "__rpow__", "__rsub__",
    "__rtruediv__", "__sub__", "__truediv__", "__trunc__",
)  # fmt: skip


class SiteSoftness(float):
    """A softness that is a number, with its site.

    turn: of a site each of whose turns in a loop has a softness of its own.
    number: it itself, without the site.
    asked: called where something is computed with it.

    >>> found = []
    >>> softness = SiteSoftness.of(0.5, 3, None, lambda: found.append("asked"))
    >>> softness.site, softness.number, found, 2 * softness, found
    (3, 0.5, ['asked'], 1.0, ['asked'])
    """

    number: float
    site: int
    turn: int | None
    asked: Callable[[], object]

    @classmethod
    def of(cls, number: float, site: int, turn: int | None, asked: Callable[[], object]) -> SiteSoftness:
        """That of a site."""
        softness = cls(number)
        softness.number, softness.site, softness.turn, softness.asked = number, site, turn, asked
        return softness

    __hash__ = float.__hash__


def _asked(name: str) -> Callable[..., Any]:
    of_number = getattr(float, name)

    def method(self: SiteSoftness, *others: Any) -> Any:
        self.asked()
        return of_number(self.number, *others)

    method.__name__ = name
    return method


for _name in _ASKED:
    setattr(SiteSoftness, _name, _asked(_name))


def unmarked(args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    """The arguments of a call with plain numbers in the place of those whose sites are known.

    >>> unmarked((1, SiteSoftness.of(0.5, 3, None, list)), {})
    ((1, 0.5), {})
    """
    if SiteSoftness in map(type, args):
        args = tuple([value.number if type(value) is SiteSoftness else value for value in args])
    if SiteSoftness in map(type, kwargs.values()):
        kwargs = {name: value.number if type(value) is SiteSoftness else value for name, value in kwargs.items()}
    return args, kwargs
