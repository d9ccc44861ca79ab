"""Wrappers over any registry, each with one behaviour."""
