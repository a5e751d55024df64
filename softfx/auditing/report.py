"""What an audit found: a verdict for each site and each parameter, with its numbers and one thing to do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from softfx.auditing.agreement import Agreement, agreement, interval_of, predicted
from softfx.auditing.verdicts import Verdict, suggestion_of, verdict_of
from softfx.locations import shown_place
from softfx.report import Report
from softfx.report.record import Site

__all__ = ["AuditReport", "Audited", "AuditedSite", "measured"]

VERSION = 2  # of the format: that of `Report.to_dict`, with what was measured


@dataclass(frozen=True)
class Audited:
    """One parameter, or one example input: `name` (or `input x`), its gradients and their agreement.

    before, after: the length of the original's gradient and of the softened one. zeros_before, zeros: the shares of
    exact zeros in them. noise: how far one draw of it is off the mean, in lengths of the mean, None where
    no mean can be told from it. sigma: the standard deviation of
    the perturbations. cosine, low, high, ratio, signal, sign: as in `Agreement`. predicts: of sites, the correlation of
    the original's answers with what the gradient predicts, which the cosine is at least; it is known well for sites of
    any size.
    """

    name: str
    verdict: Verdict
    suggestion: str
    before: float
    after: float
    zeros_before: float
    zeros: float
    noise: float | None
    sigma: float
    cosine: float | None
    low: float | None
    high: float | None
    ratio: float | None
    signal: float | None
    sign: float | None
    predicts: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without infinities."""
        data = {key: value for key, value in vars(self).items() if key not in ("cosine", "low", "high")}
        interval = None if self.cosine is None else [self.low, self.high]
        return {key: _finite(value) for key, value in data.items()} | {"agreement": self.cosine, "interval": interval}


@dataclass(frozen=True)
class AuditedSite(Audited):
    """One site: the gradient that its operands get. `name` is its operation and place.

    site: its line of the report. margins: how far its numbers are from where the decision changes, in softnesses, as
    quantiles. gap: the part of the gap between the softened and the original's loss that goes where this site is
    hard; None where softening changes no value. tried: the cosine by the factor of the softness, where others were
    tried.
    """

    site: Site
    margins: tuple[float, ...]
    gap: float | None
    tried: tuple[tuple[float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: what stands as "measured" in the site of the report."""
        data = super().to_dict()
        return {key: value for key, value in data.items() if key not in ("name", "site")}


@dataclass(frozen=True)
class AuditReport:
    """The findings of `softfx.audit`: `.sites` and `.parameters`, and what they were measured with.

    report: the decisions, as `softfx.check` tells them. scale: the perturbations' standard deviation in spreads.
    samples: the antithetic pairs for each verdict. runs: the calls of the original that they took. hard_loss,
    soft_loss: of the original and of the softened program.
    """

    parameters: tuple[Audited, ...]
    scale: float
    samples: int
    runs: int
    seed: int
    sites: tuple[AuditedSite, ...]
    report: Report
    hard_loss: float
    soft_loss: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without infinities: the report's, with "measured" in sites, and the parameters."""
        data = self.report.to_dict()
        found = {each.site.id: each.to_dict() for each in self.sites}
        sites = [{**site, "measured": found[site["id"]]} if site["id"] in found else site for site in data["sites"]]
        numbers = {"scale": self.scale, "samples": self.samples, "runs": self.runs, "seed": self.seed}
        losses = {"hard_loss": _finite(self.hard_loss), "soft_loss": _finite(self.soft_loss)}
        parameters = [each.to_dict() for each in self.parameters]
        return {**data, "version": VERSION, "sites": sites, "parameters": parameters, **numbers, **losses}

    def to_html(self) -> str:
        """The report as one HTML file."""
        from softfx.report.page import page  # Jinja2 is for those who look at a page

        return page(self.to_dict(), kind="audit")

    def _repr_html_(self) -> str:
        from softfx.report.page import notebook

        return notebook(self.to_dict())

    def __str__(self) -> str:
        lines = []
        for title, found in (("sites", self.sites), ("parameters", self.parameters)):
            if found:
                width = max(len(each.name) for each in found)
                lines += [title, *(_line(each, width) for each in found)]
        if self.hard_loss != self.soft_loss:
            lines.append(f"loss {self.hard_loss:.4g} of the original, {self.soft_loss:.4g} softened")
        lines.append(f"reference: {self.samples} pairs at {self.scale:g} of each spread, seed {self.seed}")
        return "\n".join(lines)


def _line(each: Audited, width: int) -> str:
    numbers = f"|gradient| {each.before:.3g} -> {each.after:.3g}"
    if each.cosine is not None:
        numbers += f", cosine {each.cosine:.2f} ({each.low:.2f} to {each.high:.2f})"
    elif each.predicts is not None:
        numbers += f", cosine at least {each.predicts:.2f}" if each.predicts > 0 else ""
    if isinstance(each, AuditedSite):
        numbers += _within(each.margins)
        numbers += "" if each.gap is None else f", gap {each.gap:+.3g}"
    return f"{each.verdict:11} {each.name:{width}}  {numbers}; {each.suggestion}"


def _within(margins: Sequence[float]) -> str:
    if not margins:
        return ""
    share = sum(abs(margin) <= 1 for margin in margins) / len(margins)
    return (
        f", {share:.0%} within one softness" if share else f", the nearest at {min(map(abs, margins)):.3g} softnesses"
    )


def named(site: Site) -> str:
    """The operation and the place of a site."""
    return f"{site.op} at {shown_place(site.file, site.line)}" + (f" in {site.module}" if site.module else "")


def measured(
    name: str,
    before: Tensor,
    draws: Tensor,
    units: Tensor | float,
    blocks: Tensor,
    margins: Iterable[float] = (),
    size: float | None = None,
) -> Audited:
    """The verdict on one gradient.

    before: that of the original, (n,).
    draws: of the softened gradient, (draws, n).
    units: the standard deviations of the perturbations, () or (n,): gradients are compared in these units.
    blocks: of the reference, (blocks, n), in the same units.
    size: the root mean square of the answers that the reference is made of, where it is known.
    """
    after = draws.mean(0)
    found = agreement(after * units, blocks)
    length, noise = float(after.norm()), noise_of(draws * units)
    each = None if size is None else predicted(after * units, blocks, size)
    verdict = verdict_of(found, length, noise, None if each is None else interval_of(each))
    sigma = torch.as_tensor(units).double()
    return Audited(
        name,
        verdict,
        suggestion_of(verdict, found, length, list(margins)),
        float(before.norm()),
        length,
        _zeros(before),
        _zeros(after),
        noise,
        float(sigma.mean()) if sigma.numel() else 0.0,
        *_numbers(found, None if each is None else float(each.mean())),
    )


def _numbers(found: Agreement, predicts: float | None) -> tuple[float | None, ...]:
    signal = found.signal if math.isfinite(found.signal) else None
    return (found.cosine, found.low, found.high, found.ratio, signal, found.sign, predicts)


def _zeros(gradient: Tensor) -> float:
    return float((gradient == 0).double().mean()) if gradient.numel() else 1.0


def noise_of(draws: Tensor) -> float | None:
    """How far one draw (draws, n) is off the mean, in lengths of the mean; None where no mean is told from noise.

    The mean of a few draws has noise of its own, which would make it look longer than it is: its share is taken off.
    """
    count, mean = len(draws), draws.mean(0)
    if count == 1:
        return 0.0
    variance = float((draws - mean).square().sum()) / (count - 1)
    square = float(mean.square().sum()) - variance / count
    return math.sqrt(variance / square) if square > 0 else (0.0 if variance == 0 else None)


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
