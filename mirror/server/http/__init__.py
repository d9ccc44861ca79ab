"""HTTP below the handlers: connections, limits, errors, logs, prepared responses."""
