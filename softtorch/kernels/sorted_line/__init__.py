"""Sums along a sorted line in near-linear time: with decaying, compact and softmax weights."""
