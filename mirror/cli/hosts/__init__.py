"""Commands about Docker hosts: ``host …``."""
