"""torch's operations as softfx knows them, without softness."""
