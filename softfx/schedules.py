"""The public name of the softness schedules, which are in `softfx.training.schedules`."""

from softfx.training.schedules import (
    CosineSoftness,
    EntropySoftness,
    ExponentialSoftness,
    LinearSoftness,
    SequentialSoftness,
    SoftnessSchedule,
    normalized_entropy,
)

__all__ = [
    "CosineSoftness",
    "EntropySoftness",
    "ExponentialSoftness",
    "LinearSoftness",
    "SequentialSoftness",
    "SoftnessSchedule",
    "normalized_entropy",
]
