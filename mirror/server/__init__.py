"""The HTTP server for any registry."""
