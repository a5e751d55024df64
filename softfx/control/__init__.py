"""Gradients through Python's control flow: runs of a call with one decision turned round."""
