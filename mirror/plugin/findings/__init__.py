"""Findings: faults of a plugin that can be detected, and the tables of all kinds of findings."""
