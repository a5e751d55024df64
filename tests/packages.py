"""Third-party packages in tests: imported if they are there and fit, otherwise the test is skipped with the reason."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

ZOO = Path(__file__).parent / "zoo"


def imported(name: str) -> Any:
    """The package's module, or the test is skipped: not installed, or built for another torch."""
    try:
        with mock.patch.object(sys, "path", [str(ZOO), *sys.path]):
            importlib.import_module("tv_shim")  # torchvision's operators may not fit this torch
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{name}: {error}")
