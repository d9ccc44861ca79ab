"""Blob files on a filesystem, addressed by digest."""
