"""The named policies, as the same data that a file holds. `policy=None` means `gradients`.

Those that keep values take their softness from the data: its width changes nothing but the derivative.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from softfx.decisions.policy.schema import AUTO, Settings

__all__ = ["DEFAULT_PRESET", "PRESETS"]


class Preset(TypedDict):
    """The [default] table of a named policy; it always has an action and families."""

    default: Settings


DEFAULT_PRESET = "gradients"

PRESETS: Mapping[str, Preset] = {
    # Values never change: straight-through for what decides, guards for what gives infinite or NaN gradients.
    "gradients": {"default": {"action": "straight_through", "families": ["discrete", "unsafe"], "softness": AUTO}},
    # The same, kinks included.
    "straight-through": {
        "default": {"action": "straight_through", "families": ["discrete", "kink", "unsafe"], "softness": AUTO}
    },
    # The same for programs that were never meant to be differentiated: no_grad blocks and detachments are lifted,
    # and branches turned round along the path of the run.
    "lifted": {
        "default": {
            "action": "straight_through",
            "families": ["discrete", "kink", "unsafe", "control"],
            "softness": AUTO,
            "lift_no_grad": True,
            "lift_detach": True,
        }
    },
    # Values change: the model computes with relaxed decisions. A relaxed choice gives weight to the branch that was not
    # chosen, so that guards belong to it: without them sqrt(0) behind `where` would make a finite gradient infinite.
    "smooth": {"default": {"action": "soft", "families": ["discrete", "kink", "unsafe"]}},
    # Nothing is touched; the report still lists every site.
    "keep": {"default": {"action": "keep", "families": []}},
}
