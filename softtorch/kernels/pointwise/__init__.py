"""Elementwise functions in few passes over memory, with their derivatives."""
