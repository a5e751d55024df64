"""Isotonic regression: the projection onto the permutahedron, its block equations, and three ways to find blocks."""
