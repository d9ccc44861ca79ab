"""Configuration of a plugin, and the access to a host that the configuration asks for."""
