"""Handlers of the distribution API, one module a kind of resource."""
