"""Graphs as Python text: printed, written to a module, and compared."""
