"""Wiring of the readers of changes."""
