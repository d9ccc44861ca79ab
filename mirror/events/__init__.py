"""Readers of changes: the audit, and other systems."""
