"""Wiring of the commands ``sign`` and ``verify``."""
