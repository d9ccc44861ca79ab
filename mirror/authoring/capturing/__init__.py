"""Plugins on the disk of an engine, which may be running."""
