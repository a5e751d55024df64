"""Policies: the choice of sites that are acted on, and of the way.

A policy is data (TOML or a dict) and is never evaluated. `schema` says which fields there are and which values are
legal, `toml` reads a file and finds line numbers, `entry` matches one entry against a site, `reading` turns data into
entries and collects every mistake, `presets` holds the named policies, `resolved` answers for one site, and `policy`
is the whole. To add a field, write one line in `schema`; if it is not an operator's option, also one in `Resolved`.
"""

from __future__ import annotations

from softfx.decisions.policy.policy import Policy, PolicyLike
from softfx.decisions.policy.presets import PRESETS
from softfx.decisions.policy.resolved import Resolved

__all__ = ["PRESETS", "Policy", "PolicyLike", "Resolved"]
