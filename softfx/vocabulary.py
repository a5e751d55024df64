"""The closed choices of names that users write: families, presets, modes, methods. Nothing here needs torch.

The command line's help and its pages about rules are made of these, and answer without loading torch. What a family
is stands in `softfx.rules`, what a preset does in `softfx.decisions.policy.presets`.
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = [
    "FAMILIES",
    "FAMILY_MEANINGS",
    "PRESET_NAMES",
    "Family",
    "MethodName",
    "ModeName",
    "PresetName",
    "installed_version",
]

Family = Literal["discrete", "kink", "selection", "random", "unsafe", "normalization", "control"]
PresetName = Literal["gradients", "straight-through", "lifted", "smooth", "keep"]
ModeName = Literal["smooth", "c0", "c1", "c2", "tailed"]
MethodName = Literal["softsort", "neuralsort", "ot", "sorting_network", "fast_soft_sort", "smooth_sort", "lapsum"]

FAMILIES: tuple[Family, ...] = get_args(Family)
PRESET_NAMES: tuple[PresetName, ...] = get_args(PresetName)

FAMILY_MEANINGS: dict[Family, str] = {
    "discrete": "chooses, counts or rounds: the gradient is zero or does not exist. Acted on by default.",
    "kink": "differentiable almost everywhere; the derivative jumps at single points. Kept unless named.",
    "selection": "uses what a decision gave. Never a site: it follows what reaches it.",
    "random": "draws at random: no gradient with respect to what it draws by. Kept unless named.",
    "normalization": "smooth, and replaced only where a policy names it: softmax by softpick.",
    "control": "Python goes by the value. Runs with the decision turned round give a derivative. Kept unless named.",
    "unsafe": "its gradient is infinite or NaN somewhere. Guarded by default, which changes no value.",
}


def installed_version() -> str:
    """The version of the distribution, or nothing where the package runs from a folder and was never installed.

    softtorch.version says the same; to import that is to load torch.
    """
    from importlib.metadata import PackageNotFoundError, version  # a seventh of the time that --help takes

    try:
        return version("softfx")
    except PackageNotFoundError:
        return ""
