"""Frontends that turn a call of third-party code into a `Program`: eager (recording), dynamo, fx."""
