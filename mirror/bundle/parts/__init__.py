"""Bundles in parts: for drives that are too small for the whole file, or cannot hold large files."""
