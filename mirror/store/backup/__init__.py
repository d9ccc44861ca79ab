"""Backups of a data folder: made, read and restored."""
