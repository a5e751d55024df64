"""Pictures of the curves of an operator, and of the gradient that each site of a model passes on.

This is the only module that knows matplotlib. It is imported when a picture is drawn, without its global state: no
backend is chosen and no window opened. The data comes from `curves` and `metering`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from torch import Tensor

from softfx.errors import MissingPackageError, SoftfxError
from softfx.locations import short_path
from softfx.plots.curves import Curve, Operator
from softfx.plots.metering import LOSS, Passed
from softfx.report.record import SiteAction
from softfx.report.words import ACTION_WORDS, plural
from softfx.visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["objective_figure", "operator_figure", "save", "sites_figure"]

_INK, _PALE = "#30343b", "#c9ced6"
_SHADES = ("#9ecbe8", "#3d8ecb", "#174f8a", "#f0a35e", "#c8502d", "#7a1f12")  # softest first
# Told apart without colour, too; the colours are those of Okabe and Ito, which the colour-blind tell apart.
_MARKS: dict[SiteAction, tuple[str, str]] = {
    "soft": ("o", "#009e73"),
    "straight_through": ("D", "#0072b2"),
    "guard": ("s", "#56b4e9"),
    "keep": ("^", "#e69f00"),
    "blocked": ("X", "#d55e00"),
}
_MOST = 60  # the sites that a picture can hold; its title counts the others
_STYLE = {
    "font.size": 9.0,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10.0,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def save(figure: Figure, path: str) -> None:
    """Write a picture in the format that the ending of the name asks for."""
    try:
        figure.savefig(path, dpi=160)
    except (OSError, ValueError) as error:
        raise SoftfxError(f"plot: {path} cannot be written: {str(error).rstrip('.')}. Name another file.") from error


# -- operators ---------------------------------------------------------------------------------------------------------


def operator_figure(operator: Operator, drawn: Sequence[Curve]) -> Figure:
    """The picture of an operator: value above derivative, a column for each mode, a line for each softness."""
    modes = list(dict.fromkeys(curve.mode for curve in drawn))
    softest = sorted({curve.softness for curve in drawn if curve.softness is not None}, reverse=True)
    shades = dict(zip(softest, _spread(len(softest)), strict=True))
    with _style():
        figure = _figure(2.7 * len(modes) + 1.6, 4.9)
        axes = figure.subplots(2, len(modes), sharex=True, sharey="row", squeeze=False)
        for curve in sorted(drawn, key=lambda curve: -(curve.softness or 0.0)):
            for axis, line in zip(axes[:, modes.index(curve.mode)], (curve.value, curve.derivative), strict=True):
                _draw(axis, curve, line, shades)
        for column, mode in enumerate(modes):
            axes[0, column].set_title(mode)
            axes[1, column].set_xlabel("x")
        axes[0, 0].set_ylabel(operator.output)
        axes[1, 0].set_ylabel("derivative")
        for axis in axes.flat:
            axis.grid(color=_PALE, linewidth=0.4)
            axis.margins(x=0)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False)
        figure.suptitle(operator.label, fontsize=12, fontweight="bold")
    return figure


def objective_figure(target: str, drawn: Sequence[Curve]) -> Figure:
    """The picture of a program of one number: a line for the program, and one for each softness."""
    softest = sorted({curve.softness for curve in drawn if curve.softness is not None}, reverse=True)
    shades = dict(zip(softest, _spread(len(softest)), strict=True))
    with _style():
        figure = _figure(7.2, 3.6)
        axis = figure.subplots()
        for curve in sorted(drawn, key=lambda curve: -(curve.softness or 0.0)):
            _draw(axis, curve, curve.value, shades)
        axis.set_xlabel("input")
        axis.set_ylabel("result")
        axis.grid(color=_PALE, linewidth=0.4)
        axis.margins(x=0)
        figure.legend(*axis.get_legend_handles_labels(), loc="outside right center", frameon=False)
        figure.suptitle(plain(target), fontsize=12, fontweight="bold")
    return figure


def _draw(axis: Axes, curve: Curve, line: Tensor, shades: dict[float, str]) -> None:
    if curve.softness is None:
        axis.plot(curve.x, line, color=_INK, linewidth=1.1, linestyle=(0, (4, 2)), label="hard", zorder=3)
    else:
        axis.plot(curve.x, line, color=shades[curve.softness], linewidth=1.6, label=f"softness {curve.softness:g}")


def _spread(count: int) -> list[str]:
    """So many shades, as far apart as possible; the last one is repeated if there are not enough."""
    if count <= 3:
        return list(_SHADES[:3][3 - count :])
    return [_SHADES[min(number, len(_SHADES) - 1)] for number in range(count)]


# -- models ------------------------------------------------------------------------------------------------------------


def sites_figure(target: str, passed: Sequence[Passed]) -> Figure:
    """The picture of a model: for each site a line from the gradient norm in the original to that under the policy."""
    shown = list(passed[:_MOST])
    norms = [norm for site in shown for norm in (site.before, site.after) if 0 < norm < math.inf]
    least, largest = (min(norms), max(norms)) if norms else (1.0, 10.0)
    lowest, highest = math.floor(math.log10(least)), math.ceil(math.log10(largest))
    zero, infinite = 10.0 ** (lowest - 1), 10.0 ** (highest + 1)  # bands beside the logarithmic axis
    decades = range(lowest, highest + 1, max(1, (highest - lowest) // 7))
    with _style():
        figure = _figure(8.6, 1.5 + 0.34 * max(len(shown), 2))
        axis = figure.subplots()
        axis.set_xscale("log")
        bands = {zero: "0"}
        if not all(math.isfinite(norm) for site in shown for norm in (site.before, site.after)):
            bands[infinite] = "not finite"
        axis.set_xlim(zero / 2, max(bands) * 2 if len(bands) > 1 else 10.0**highest * 2)
        ticks = {zero: "0", **{10.0**decade: f"$10^{{{decade}}}$" for decade in decades}, **bands}
        axis.set_xticks(list(ticks), list(ticks.values()), minor=False)
        axis.set_xticks([], minor=True)
        for place in bands:
            axis.axvspan(place / 2, place * 2, color=_PALE, alpha=0.35, linewidth=0)
        for row, site in enumerate(shown):
            _dumbbell(axis, row, site, zero, infinite)
        axis.set_yticks(range(len(shown)), [_row_label(site) for site in shown], fontfamily="monospace", fontsize=8)
        axis.set_ylim(len(shown) - 0.4, -0.6)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.grid(axis="x", color=_PALE, linewidth=0.4)
        axis.set_xlabel(f"norm of the gradient passed on\n(loss: {LOSS})")
        more = f", {len(passed) - _MOST} more not shown" if len(passed) > _MOST else ""
        title = f"{textwrap.fill(target, 80)}\n{plural(len(passed), 'site')}{more}"
        figure.suptitle(title, fontsize=10, fontweight="bold")
        _legend(figure, axis, shown)
    return figure


def _dumbbell(axis: Axes, row: int, site: Passed, zero: float, infinite: float) -> None:
    marker, color = _MARKS[site.site.action]
    ends = [_placed(norm, zero, infinite) for norm in (site.before, site.after)]
    axis.plot(ends, [row, row], color=color, linewidth=1.8, alpha=0.55, solid_capstyle="round", zorder=2)
    axis.plot(ends[0], row, marker="o", markersize=7, color="white", markeredgecolor=_INK, linestyle="", zorder=3)
    axis.plot(ends[1], row, marker=marker, markersize=4.5, color=color, linestyle="", zorder=4)
    for norm, end in zip((site.before, site.after), ends, strict=True):
        if not math.isfinite(norm):
            axis.annotate(f"  {norm}", (end, row), va="center", color=_INK, fontsize=8)


def _placed(norm: float, zero: float, infinite: float) -> float:
    if not math.isfinite(norm):
        return infinite
    return norm if norm > 0 else zero


def _row_label(passed: Passed) -> str:
    site = passed.site
    where = f"{short_path(site.file).rpartition('/')[2]}:{site.line}"
    return plain(f"{site.op}  {where}" + (f"  {site.module}" if site.module else ""))


def plain(text: str) -> str:
    """The text of others as matplotlib draws it: without formulas, which two dollar signs would begin and end."""
    return visible(text).replace("$", r"\$")


def _legend(figure: Figure, axis: Axes, shown: Sequence[Passed]) -> None:
    (before,) = axis.plot([], [], marker="o", markersize=7, color="white", markeredgecolor=_INK, linestyle="")
    actions = [action for action in _MARKS if any(site.site.action == action for site in shown)]
    marks = [_MARKS[action] for action in actions]
    dots = [axis.plot([], [], marker=m, markersize=4.5, color=color, linestyle="")[0] for m, color in marks]
    names = ["original", *(f"now: {ACTION_WORDS[action]}" for action in actions)]
    figure.legend([before, *dots], names, loc="outside lower center", ncols=len(names), frameon=False)


# -- matplotlib --------------------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _style() -> AbstractContextManager[None]:
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"plot: {error.name} is not installed. Pictures are drawn by matplotlib. Run pip install 'softfx[plot]', "
            "or pip install matplotlib."
        ) from error
    return matplotlib.rc_context(_STYLE)  # type: ignore[arg-type]  # its keys are literals in the stubs
