"""Handlers of the distribution API, one module for each kind of resource."""
