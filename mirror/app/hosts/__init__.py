"""Commands about Docker hosts: their engines, their registries, and the way between."""
