"""Softness schedules, with the methods of torch.optim.lr_scheduler: step, state_dict, load_state_dict, last_epoch.

A schedule drives all sites of a softened module or function, or those of a pattern, or a 0-dim tensor that plain
softtorch operators are called with. To add a schedule that is a function of time, subclass `SoftnessSchedule` in a
module here, write `softness_at`, and name it below and in `softfx`.
"""

from softfx.training.schedules.base import SoftnessSchedule
from softfx.training.schedules.entropy import EntropySoftness, normalized_entropy
from softfx.training.schedules.sequential import SequentialSoftness
from softfx.training.schedules.timed import (
    CosineSoftness,
    ExponentialSoftness,
    GeometricSoftness,
    LinearSoftness,
)

__all__ = [
    "CosineSoftness",
    "EntropySoftness",
    "ExponentialSoftness",
    "GeometricSoftness",
    "LinearSoftness",
    "SequentialSoftness",
    "SoftnessSchedule",
    "normalized_entropy",
]
