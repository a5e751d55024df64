"""The report as a view of rich, and what prints one."""

from softfx.handbook.terminal import show
from softfx.report.terminal import report_view

__all__ = ["report_view", "show"]
