"""Filters: wrappers over any registry, each of which changes one behaviour."""
