"""Plugins read, renamed, built, opened and taken out of an engine."""
