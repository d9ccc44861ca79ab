"""Readings: everything that is kept of the layers of a plugin, so that nobody reads the layers again."""
