"""The bucket of a process, from its settings."""
