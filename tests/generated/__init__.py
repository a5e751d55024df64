"""Random torch programs: made by their seed, run under softfx, held to its contracts, and shrunk where one fails."""
