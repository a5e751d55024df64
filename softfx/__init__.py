"""softfx: soften an unmodified PyTorch model.

`soften` takes a third-party module or function and a policy, and returns the same with gradients where there were none.
`check` finds and explains without changing anything; the command line does both. The operators are in `softtorch`.

The names are gathered in `softfx.public`, `softfx.schedules` and `softfx.measured`, each of which is loaded when one of
its names is first asked for: so that `softfx --help` and `softfx explain` do not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softfx.measured import *  # noqa: F403
    from softfx.public import *  # noqa: F403
    from softfx.schedules import *  # noqa: F403

__all__: list[str]
__version__: str

_GATHERED = ("softfx.public", "softfx.schedules", "softfx.measured")


def __getattr__(name: str) -> object:
    """Load a module of softfx, or the public names that are gathered with this one, when it is first asked for."""
    if name == "__version__":
        return import_module("softfx.vocabulary").installed_version() or "unknown"
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module 'softfx' has no attribute {name!r}")
    if find_spec(f"softfx.{name}") is not None:  # a module that another one imports is loaded alone, not in a circle
        return import_module(f"softfx.{name}")
    import_module("softfx.operators").check_operators()
    for module in map(import_module, _GATHERED):
        if name in module.__all__:
            globals().update({each: getattr(module, each) for each in module.__all__})
            return globals()[name]
    if name == "__all__":
        return _public_names()
    raise AttributeError(f"module 'softfx' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, and those that every module has."""
    return sorted({*_public_names(), *(name for name in globals() if name.startswith("__")), "__version__"})


def _public_names() -> list[str]:
    return [each for module in map(import_module, _GATHERED) for each in module.__all__]
