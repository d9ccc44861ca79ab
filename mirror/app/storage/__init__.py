"""Upkeep of storage, built from the settings."""
