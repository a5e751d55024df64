"""The fingerprint of a softened gradient, as plain data, and what has moved between two of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from softfx.errors import TargetError
from softfx.locations import portable_path, short_path, shown_place
from softfx.report.record import Site
from softfx.report.words import ACTION_WORDS, settings

__all__ = ["Lock", "LockedParameter", "LockedSite", "locked_sites", "signs_of"]

_SIGNS = 256  # of the entries, or of sums of neighbours where there are more
_NOTHING = 1e-3  # of the largest: what is smaller has the sign 0, for rounding may turn it
VERSION = 1


@dataclass(frozen=True)
class LockedParameter:
    """One parameter, or input: the length of its gradient, a hash of its signs, its cosine with the reference."""

    name: str
    norm: float
    signs: str
    agreement: float | None


@dataclass(frozen=True)
class LockedSite:
    """One site: where it is, what is decided, and the length of the gradient that it passes on.

    number: tells apart sites of one operation with the same text in one module.
    """

    op: str
    module: str
    file: str
    line: int
    source: str
    number: int
    action: str
    settings: str
    norm: float

    @property
    def key(self) -> tuple[object, ...]:
        """The identity of the site, which survives moved lines and another folder."""
        return (self.op, self.module, portable_path(self.file), self.source, self.number)

    @property
    def name(self) -> str:
        """The operation and the place."""
        return f"{self.op} at {shown_place(self.file, self.line)}" + (f" in {self.module}" if self.module else "")


@dataclass(frozen=True)
class Lock:
    """What `softfx.lock` found: the gradient of each parameter, and of each site, on inputs that are known again.

    inputs: a hash of the inputs, parameters and buffers. versions: of torch and softfx. samples: the pairs of calls
    that the agreement took.
    """

    policy: str
    seed: int
    samples: int
    inputs: str
    loss: float
    versions: Mapping[str, str]
    parameters: tuple[LockedParameter, ...]
    sites: tuple[LockedSite, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"version": VERSION, **asdict(self), "versions": dict(self.versions)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Lock:
        """The lock that `to_dict` turned into `data`.

        Raises:
            TargetError: it is no lock, or one of another version.
        """
        if not isinstance(data, Mapping) or data.get("version") != VERSION or "parameters" not in data:
            raise TargetError(
                f"lock: this is no lock of version {VERSION}. One is what `softfx lock TARGET` writes. Write a new one."
            )
        known = {key: value for key, value in data.items() if key != "version"}
        parameters = tuple(LockedParameter(**each) for each in known.pop("parameters"))
        sites = tuple(LockedSite(**each) for each in known.pop("sites"))
        return cls(**known, parameters=parameters, sites=sites)

    def moved(self, now: Lock, tolerance: float = 0.01) -> list[str]:
        """What is another way in `now`, a line each, sites whose contribution changed most first; empty if nothing is.

        Args:
            now: a lock of the same target on the same inputs.
            tolerance: the change of a length that is none, relative to the larger of both.

        Raises:
            TargetError: the inputs, or the parameters' values, are others: gradients of them do not compare.
        """
        if (self.inputs, self.seed) != (now.inputs, now.seed):
            raise TargetError(
                "lock: the inputs, the seed or the parameters' values are not those of the lock, so gradients do not "
                "compare. Give the inputs, --seed and a model with the values that it was written with, or lock anew."
            )
        parameters = list(_parameters(self.parameters, now.parameters, tolerance))
        sites = list(_sites(self.sites, now.sites, tolerance))
        if parameters or sites:
            parts = ((name, self.versions.get(name), version) for name, version in now.versions.items())
            sites += [f"{name} {before} -> {version}" for name, before, version in parts if before != version]
        return [*parameters, *sites]


def signs_of(gradient: Tensor) -> str:
    """A hash of the signs of a gradient, (n,): of sums of neighbours where there are many; small ones count as 0."""
    flat = gradient.detach().double().flatten().cpu()
    if flat.numel() > _SIGNS:
        padded = torch.nn.functional.pad(flat, (0, -flat.numel() % _SIGNS))
        flat = padded.reshape(_SIGNS, -1).sum(-1)
    level = _NOTHING * flat.abs().max() if flat.numel() else torch.zeros(())
    signs = torch.where(flat.abs() > level, flat.sign(), 0.0).to(torch.int8)
    return hashlib.sha256(bytes(signs.view(torch.uint8).tolist())).hexdigest()[:16]


def locked_sites(sites: Sequence[Site], norms: Mapping[int, float]) -> Iterator[LockedSite]:
    """The sites of a report, with the length of what each passes on by its number."""
    seen: Counter[tuple[str, str, str, str]] = Counter()
    for site in sites:
        key = (site.op, site.module, site.file, site.source)
        made = LockedSite(
            site.op, site.module, short_path(site.file), site.line, site.source, seen[key], site.action, settings(site),
            norms.get(site.id, 0.0),
        )  # fmt: skip
        seen[key] += 1
        yield made


def _parameters(before: Sequence[LockedParameter], now: Sequence[LockedParameter], tolerance: float) -> Iterator[str]:
    found = {each.name: each for each in now}
    for old in before:
        new = found.pop(old.name, None)
        if new is None:
            yield f"{old.name}: is gone"
            continue
        said = [] if _near(old.norm, new.norm, tolerance) else [f"|gradient| {old.norm:.4g} -> {new.norm:.4g}"]
        said += ["its signs changed"] if old.signs != new.signs else []
        if said and old.agreement is not None and new.agreement is not None:
            said.append(f"agreement with the reference {old.agreement:.2f} -> {new.agreement:.2f}")
        if said:
            yield f"{old.name}: {', '.join(said)}"
    yield from (f"{name}: is new" for name in found)


def _sites(before: Sequence[LockedSite], now: Sequence[LockedSite], tolerance: float) -> Iterator[str]:
    found = {each.key: each for each in now}
    changes: list[tuple[float, str]] = []
    for old in before:
        new = found.pop(old.key, None)
        if new is None:
            changes.append((old.norm, f"{old.name}: is gone, it passed on {old.norm:.4g}"))
            continue
        said = [] if _near(old.norm, new.norm, tolerance) else [f"passes on {old.norm:.4g} -> {new.norm:.4g}"]
        if old.action != new.action:
            said.append(f"{_words(old)} -> {_words(new)}")
        elif old.settings != new.settings:
            said.append(f"{old.settings} -> {new.settings}")
        if said:
            changes.append((abs(old.norm - new.norm), f"{new.name}: {', '.join(said)}"))
    changes += [(each.norm, f"{each.name}: is new, it passes on {each.norm:.4g}") for each in found.values()]
    yield from (text for _, text in sorted(changes, key=lambda change: -change[0]))


def _words(site: LockedSite) -> str:
    return {str(action): words for action, words in ACTION_WORDS.items()}.get(site.action, site.action)


def _near(one: float, other: float, tolerance: float) -> bool:
    """Return True where two lengths are the same, NaN where NaN."""
    if one != one or other != other:
        return one != one and other != other
    return abs(one - other) <= tolerance * max(abs(one), abs(other))
