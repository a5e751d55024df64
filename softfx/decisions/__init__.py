"""Policies, and the decision about each site."""
