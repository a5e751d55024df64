"""The public name of the softness schedules; they are in `softfx.training.schedules`."""

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
