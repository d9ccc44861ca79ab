"""Scrub and healing, built from the settings."""
