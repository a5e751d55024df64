"""Softness while a model trains: schedules, callbacks, and setting it by hand."""
