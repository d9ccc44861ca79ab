"""Deltas: bundles of only the content that the receiver lacks."""
