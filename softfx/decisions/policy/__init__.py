"""Policies: which sites are acted on, and how.

A policy is data (TOML or a dict) and is never evaluated. `schema` says which fields there are and what is
legal, `toml` reads a file and finds line numbers, `entry` matches one entry against a site, `reading` turns
data into entries and collects every mistake, `presets` holds the named ones, `policy` resolves a site. A new
field is one line in `schema`; if it is not an operator's option, also one in `Resolved`.
"""

from __future__ import annotations

from softfx.decisions.policy.policy import Policy, Resolved
from softfx.decisions.policy.presets import PRESETS

__all__ = ["PRESETS", "Policy", "Resolved"]
