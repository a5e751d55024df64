"""The version of the distribution that both packages are in."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["installed_version"]


def installed_version() -> str:
    """The version, or nothing where the packages run from a folder and were never installed."""
    try:
        return version("softfx")
    except PackageNotFoundError:
        return ""
