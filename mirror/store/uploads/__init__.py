"""Blobs on their way in: upload sessions and shared downloads."""
