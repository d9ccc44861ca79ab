"""The configuration: frozen sections, read from YAML and the environment. Only ``cli`` and ``app`` read it."""

from mirror.registry.rights import Action
from mirror.settings.load import load, schema
from mirror.settings.sections import Settings

__all__ = ["Action", "Settings", "load", "schema"]
