"""The configuration: frozen sections, read from YAML and the environment. Only ``cli`` and ``app`` read it."""

from mirror.settings.load import load, schema
from mirror.settings.sections import Action, Settings

__all__ = ["Action", "Settings", "load", "schema"]
