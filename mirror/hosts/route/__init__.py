"""The way of a Docker host to a registry: name, TCP, TLS, the API, and the content of a plugin."""
