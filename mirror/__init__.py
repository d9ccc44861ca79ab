"""Local registry, pull-through proxy and mirror for Docker managed plugins."""

__version__ = "0.1.0"
