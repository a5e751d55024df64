"""The public names of softfx, gathered. `softfx` itself loads this module when a name is first asked of it.

The schedules' names stand in `softfx.schedules`, those that measure a softened target in `softfx.measured`.
"""

from softfx import callbacks, schedules
from softfx.api import check, diff, report_of, soften, source
from softfx.decisions.policy import Policy
from softfx.errors import (
    BlockedError,
    CaptureError,
    ControlError,
    MissingPackageError,
    PolicyError,
    ScheduleError,
    SoftfxError,
    TargetError,
)
from softfx.patching import Patch, patched
from softfx.pipeline.softened import harden
from softfx.report import Report
from softfx.rules.register import register_rule, registered_rule, unregister_rule
from softfx.training.remeasure import Remeasure, remeasure
from softfx.training.softness import set_softness
from softfx.training.softness_state import load_softness_state, softness_parameters, softness_state

__all__ = [
    "BlockedError",
    "CaptureError",
    "ControlError",
    "MissingPackageError",
    "Patch",
    "Policy",
    "PolicyError",
    "Remeasure",
    "Report",
    "ScheduleError",
    "SoftfxError",
    "TargetError",
    "callbacks",
    "check",
    "diff",
    "harden",
    "load_softness_state",
    "patched",
    "register_rule",
    "registered_rule",
    "remeasure",
    "report_of",
    "schedules",
    "set_softness",
    "soften",
    "softness_parameters",
    "softness_state",
    "source",
    "unregister_rule",
]
