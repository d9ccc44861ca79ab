"""Bundles: parts of a registry in one file, for places that no network reaches."""
