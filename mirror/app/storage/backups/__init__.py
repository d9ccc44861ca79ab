"""Backups of the store, and the recovery of its catalog."""
