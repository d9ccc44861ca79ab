"""The configuration of a plugin, and what it asks of a host."""
