"""Graphs as Python text: printed, written, and compared."""
