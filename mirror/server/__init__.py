"""The HTTP face of any registry: the distribution API, health, access log. It sees the port and nothing behind it."""
