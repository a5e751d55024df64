"""The exceptions of softtorch, and the form of their messages.

Every error is a ValueError whose text reads `where: what is wrong, with the value. What is legal. What to do.` Errors
are raised once, at the public boundary, before anything is computed and without reading a tensor's contents. Checks
that several operators share are in checks.py. To add a kind of error, subclass SoftTorchError here.
"""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 60  # characters of a value in a message


class SoftTorchError(ValueError):
    """Base class of everything softtorch raises on purpose."""


class OptionError(SoftTorchError):
    """An option has a value that is not legal, whatever the tensors."""


class ShapeError(SoftTorchError):
    """Shapes, sizes or dtypes of the tensors do not fit the operation."""


class DimensionError(ShapeError, IndexError):
    """A dimension is out of range; also an IndexError, which is what torch raises there."""


class MethodError(OptionError):
    """The relaxation method cannot do what the operator asks of it."""


def message(where: str, wrong: str, legal: str = "", remedy: str = "") -> str:
    """Join the parts of an error message.

    >>> message("topk", "k=7 is larger than the 5 elements along dim=-1 of input (2, 5)", "Use 1 <= k <= 5")
    'topk: k=7 is larger than the 5 elements along dim=-1 of input (2, 5). Use 1 <= k <= 5.'
    """
    parts = [f"{where}: {wrong}", legal, remedy]
    return " ".join(part if part.endswith(("?", ".")) else f"{part}." for part in parts if part)


def of_type(name: str, value: object) -> str:
    """The complaint about an argument of another type; its value is cut where that is long, and left out of an array.

    >>> of_type("k", 1.5), of_type("x", memoryview(b"many"))
    ('k=1.5 is of type float', 'x is of type memoryview')
    >>> of_type("x", [0.5] * 100)
    'x=[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, ... is of type list'
    """
    text = " ".join(repr(value).split()) if not hasattr(value, "shape") else ""
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2].rstrip()} ..."
    return f"{name}{'=' if shown else ''}{shown} is of type {type(value).__name__}"


def nearest(name: object, known: Iterable[str]) -> str:
    """A question that names the known word closest to `name`, or nothing when none is close; capitals do not count.

    >>> nearest("softsrt", ["softsort", "neuralsort"]), nearest("C1", ["smooth", "c1"])
    ("Did you mean 'softsort'?", "Did you mean 'c1'?")
    """
    by_small = {word.lower(): word for word in known}
    close = get_close_matches(str(name).lower(), by_small, n=1)
    return f"Did you mean {by_small[close[0]]!r}?" if close else ""
