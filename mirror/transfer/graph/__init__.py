"""Graphs of manifests: which content of a graph a copy takes, and why other content is left out."""
