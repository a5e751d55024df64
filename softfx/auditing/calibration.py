"""What calibration found: a row for each place with sites, the policy that follows, and the scores it rests on."""

from __future__ import annotations

import glob
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from softfx.decisions.policy import Policy
from softfx.decisions.policy.toml import write_pairs
from softfx.locations import portable_path, shown_place
from softfx.report.record import Site
from softfx.visible import visible

__all__ = ["Calibration", "Row", "Scores", "data_of"]

Outcome = Literal["moved", "as it is", "best hard", "cannot tell", "not measured"]
Scores = Mapping[str, Mapping[str, Sequence[Sequence[float]]]]
"""By place and setting: for each of two measures, the agreement with each block of the reference left out."""


@dataclass(frozen=True)
class Row:
    """One place: sites of one operation on one line, which a policy cannot tell apart.

    setting: what is chosen, in words. before, after: the agreement as the site was and as it is chosen, on the first
    measure: the correlation of the original's answers with what the gradient predicts; None where that tells nothing.
    evidence: how many standard errors the chosen setting is better by, on the first measure and on the second. ties:
    settings that the measures do not tell from the chosen. fields: what the policy says of it; None where it says
    nothing.
    """

    site: Site
    outcome: Outcome
    setting: str
    before: float | None
    after: float | None
    evidence: tuple[float, float] | None
    ties: tuple[str, ...]
    fields: Mapping[str, Any] | None

    @property
    def line(self) -> str:
        """The row as one line."""
        cosine = "" if self.before is None else f": agreement {self.before:.2f}"
        if self.outcome == "moved" and self.evidence is not None:
            first, second = (f"{z:.1f}" if math.isfinite(z) else "inf" for z in self.evidence)
            cosine += f" -> {self.after:.2f}, {first} and {second} standard errors on two measures"
        ties = f"; no worse: {', '.join(self.ties)}" if self.ties else ""
        what = self.outcome if self.setting in ("", self.outcome) else f"{self.outcome}: {self.setting}"
        return f"{what}{cosine}{ties}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        evidence = [z if math.isfinite(z) else None for z in self.evidence] if self.evidence else None
        place = {key: getattr(self.site, key) for key in ("code", "op", "module", "file", "line")}
        return place | {
            "outcome": self.outcome,
            "setting": self.setting,
            "before": self.before,
            "after": self.after,
            "evidence": evidence,
            "ties": list(self.ties),
            "fields": None if self.fields is None else dict(self.fields),
        }


@dataclass(frozen=True)
class Calibration:
    """The findings of `softfx.calibrate`: `.policy` for `soften`, `.text` of it to paste, and `.table`.

    start: the policy that it started from. rows: one for each place with sites that act. runs: the calls of the
    original that were made. scores: what was measured, to be given to the next `calibrate`.
    """

    start: Policy
    rows: tuple[Row, ...]
    scale: float
    samples: int
    seed: int
    runs: int
    scores: Scores

    @property
    def policy(self) -> Policy:
        """The policy with an entry for each place that was moved."""
        data = data_of(self.start)
        rules = [*data["rule"], *(_entry(row) for row in self.rows if row.fields is not None)]
        return Policy.load({**data, "rule": rules})

    @property
    def table(self) -> str:
        """The rows as text."""
        places = [f"{row.site.op} at {shown_place(row.site.file, row.site.line)}" for row in self.rows]
        width = max(map(len, places), default=0)
        return "\n".join(f"{place:{width}}  {row.line}" for place, row in zip(places, self.rows, strict=True))

    @property
    def text(self) -> str:
        """The policy as a file, each entry with its evidence as a comment."""
        data = data_of(self.start)
        head = f"# by softfx calibrate: {self.samples} pairs at {self.scale:g} of each spread, seed {self.seed}\n"
        parts = [
            head + write_pairs({"version": 1, "preset": data["preset"]}),
            "[default]\n" + write_pairs(data["default"]),
        ]
        parts += ["[[rule]]\n" + write_pairs(rule) for rule in data["rule"]]
        for row in self.rows:
            place = f"{row.site.op} at {shown_place(row.site.file, row.site.line)}"
            comment = f"# {visible(place)}\n# {visible(row.line)}\n"
            parts.append(comment if row.fields is None else f"{comment}[[rule]]\n{write_pairs(_entry(row))}")
        return "\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; "scores" is what the next `calibrate` takes."""
        numbers = {"scale": self.scale, "samples": self.samples, "seed": self.seed, "runs": self.runs}
        scores = {
            place: {name: [list(each) for each in measures] for name, measures in settings.items()}
            for place, settings in self.scores.items()
        }
        return {"version": 1, **numbers, "rows": [row.to_dict() for row in self.rows], "scores": scores}

    def __str__(self) -> str:
        return f"{self.table}\n\n{self.text}"


def data_of(policy: Policy) -> dict[str, Any]:
    """A policy as the data that a file of it holds."""
    default: dict[str, Any] = {}
    for entry in policy.entries:
        default |= entry.fields if entry.is_default else {}
    rules = [{**entry.selectors(), **entry.fields} for entry in policy.entries if not entry.is_default]
    rules = [{"op": "*", **rule} if not {"op", "module", "source"} & set(rule) else rule for rule in rules]
    return {"version": 1, "preset": policy.preset, "default": default, "rule": rules}


def _entry(row: Row) -> dict[str, Any]:
    """The entry that decides about a place."""
    site = row.site
    pairs: dict[str, Any] = {"op": site.op}
    if site.module:
        pairs["module"] = glob.escape(site.module)
    pairs["source"] = f"{glob.escape(portable_path(site.file))}:{site.line}"
    return {**pairs, **(row.fields or {})}
