"""Endpoints outside the distribution API: JSON under ``/api/v1``, health and metrics."""
