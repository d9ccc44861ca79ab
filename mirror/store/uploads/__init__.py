"""Incoming blobs: upload sessions, and downloads that several readers share."""
