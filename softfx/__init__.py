"""softfx: soften an unmodified PyTorch model.

`soften` takes a third-party module or function and a policy, and returns the same with gradients where there were none.
`check` finds and explains without changing anything; the command line does both. The operators are in `softtorch`.

The names are gathered in `softfx.public`, and loaded when the first of them is asked for: so that `softfx --help` and
`softfx explain` do not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softfx.public import *  # noqa: F403
    from softfx.public import __all__ as __all__

__version__: str


def __getattr__(name: str) -> object:
    """Load a module of softfx, or the public names, when one of them is first asked for."""
    if name == "__version__":
        return import_module("softfx.vocabulary").installed_version() or "unknown"
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module 'softfx' has no attribute {name!r}")
    if find_spec(f"softfx.{name}") is not None:  # a module that another one imports is loaded alone, not in a circle
        return import_module(f"softfx.{name}")
    import_module("softfx.operators").check_operators()
    public = import_module("softfx.public")
    found = {each: getattr(public, each) for each in public.__all__}
    globals().update(found, __all__=public.__all__)
    if name in globals():
        return globals()[name]
    raise AttributeError(f"module 'softfx' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, and those that every module has."""
    return sorted(
        {*import_module("softfx.public").__all__, *(name for name in globals() if name.startswith("__")), "__version__"}
    )
