"""The public names that measure gradients, gathered. `softfx` loads this module when one of them is asked for."""

from softfx.auditing.audit import audit
from softfx.auditing.calibrate import calibrate
from softfx.auditing.calibration import Calibration
from softfx.auditing.fingerprint import Lock
from softfx.auditing.lock import lock
from softfx.auditing.report import AuditReport

__all__ = ["AuditReport", "Calibration", "Lock", "audit", "calibrate", "lock"]
