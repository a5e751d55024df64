"""The version of softfx that is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["softfx_version"]


def softfx_version() -> str:
    """The version, or nothing where softfx runs from a folder and was never installed."""
    try:
        return version("softfx")
    except PackageNotFoundError:
        return ""
