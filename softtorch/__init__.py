"""Soft, differentiable drop-ins for torch's non-differentiable functions.

Every name here has torch's name and argument order, plus `softness` and `mode`. Each module lists its own
public names; this file only gathers them.
"""

from softtorch.axiswise import *  # noqa: F403
