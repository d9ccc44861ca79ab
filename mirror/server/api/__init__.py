"""JSON under ``/api/v1``, health and metrics: everything that is answered beside the distribution API."""
