"""The public names of softfx, gathered. `softfx` itself loads this module when a name is first asked of it."""

from softfx import callbacks, schedules
from softfx.api import check, diff, report_of, soften, source
from softfx.auditing.audit import audit
from softfx.auditing.calibrate import calibrate
from softfx.auditing.calibration import Calibration
from softfx.auditing.fingerprint import Lock
from softfx.auditing.lock import lock
from softfx.auditing.report import AuditReport
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
from softfx.training.best import KeepBest
from softfx.training.remeasure import Remeasure, remeasure
from softfx.training.schedules import (
    CosineSoftness,
    EntropySoftness,
    ExponentialSoftness,
    GeometricSoftness,
    LinearSoftness,
    SequentialSoftness,
    SoftnessSchedule,
)
from softfx.training.softness import set_softness
from softfx.training.softness_state import load_softness_state, softness_parameters, softness_state

__all__ = [
    "AuditReport",
    "BlockedError",
    "Calibration",
    "CaptureError",
    "ControlError",
    "CosineSoftness",
    "EntropySoftness",
    "ExponentialSoftness",
    "GeometricSoftness",
    "KeepBest",
    "LinearSoftness",
    "Lock",
    "MissingPackageError",
    "Patch",
    "Policy",
    "PolicyError",
    "Remeasure",
    "Report",
    "ScheduleError",
    "SequentialSoftness",
    "SoftfxError",
    "SoftnessSchedule",
    "TargetError",
    "audit",
    "calibrate",
    "callbacks",
    "check",
    "diff",
    "harden",
    "load_softness_state",
    "lock",
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
