"""The check that `softtorch`, which softfx builds on, is the one that it comes with."""

from __future__ import annotations

from softfx.errors import MissingPackageError

__all__ = ["check_operators"]


def check_operators() -> None:
    """Raise an error if another distribution's softtorch has taken the place of this one's.

    Raises:
        MissingPackageError: it has.
    """
    import softtorch  # here, for it loads torch

    if getattr(softtorch, "__distribution__", "") != "softfx":
        raise MissingPackageError(
            f"softfx: the softtorch at {softtorch.__file__} is another distribution's, which has the same import name "
            "and was installed over the operators of softfx. Keep the two in environments of their own. Run "
            "`pip uninstall -y softtorch softfx`, then `pip install softfx`."
        )
