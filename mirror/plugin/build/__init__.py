"""Plugins put together: configuration, manifest, copies with other defaults."""
