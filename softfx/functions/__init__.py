"""The former name of `softfx.runtime`, which modules written by softfx 0.1 import."""

from softfx.runtime import distributions, draws, guards, normalized, places, selections

__all__ = ["distributions", "draws", "guards", "normalized", "places", "selections"]
