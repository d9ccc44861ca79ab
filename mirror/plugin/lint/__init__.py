"""Checks of plugins, and the view that collects their findings."""
