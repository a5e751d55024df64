"""The public names of the softness schedules, which are in `softfx.training.schedules`; `softfx` has them, too."""

from softfx.training.best import KeepBest
from softfx.training.schedules import (
    CosineSoftness,
    EntropySoftness,
    ExponentialSoftness,
    GeometricSoftness,
    LinearSoftness,
    SequentialSoftness,
    SoftnessSchedule,
    normalized_entropy,
)

__all__ = [
    "CosineSoftness",
    "EntropySoftness",
    "ExponentialSoftness",
    "GeometricSoftness",
    "KeepBest",
    "LinearSoftness",
    "SequentialSoftness",
    "SoftnessSchedule",
    "normalized_entropy",
]
