"""softfx: soften an unmodified PyTorch model.

`soften` takes a third-party module or function and a policy, and returns the same with gradients where there were none.
`check` finds and explains without changing anything; the command line does both. The operators are in `softtorch`.
"""

from softfx import callbacks, schedules
from softfx.api import check, diff, report_of, soften, source
from softfx.auditing.audit import audit
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
from softfx.training.remeasure import remeasure
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
from softtorch.version import installed_version as _installed_version

__version__ = _installed_version() or "unknown"

__all__ = [
    "AuditReport",
    "BlockedError",
    "CaptureError",
    "ControlError",
    "CosineSoftness",
    "EntropySoftness",
    "ExponentialSoftness",
    "GeometricSoftness",
    "KeepBest",
    "LinearSoftness",
    "MissingPackageError",
    "Patch",
    "Policy",
    "PolicyError",
    "Report",
    "ScheduleError",
    "SequentialSoftness",
    "SoftfxError",
    "SoftnessSchedule",
    "TargetError",
    "audit",
    "callbacks",
    "check",
    "diff",
    "harden",
    "patched",
    "register_rule",
    "registered_rule",
    "remeasure",
    "report_of",
    "schedules",
    "set_softness",
    "soften",
    "source",
    "unregister_rule",
]
