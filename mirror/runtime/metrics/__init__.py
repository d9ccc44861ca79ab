"""Metrics that processes count in shared memory, and their exposition."""
