"""The softness while a model trains: set by hand, by schedules, and by callbacks of training loops."""
