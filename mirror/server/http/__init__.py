"""The HTTP layer below the handlers: connections, limits, error responses and prebuilt responses."""
