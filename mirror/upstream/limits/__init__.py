"""Limits on requests to an upstream: rates, quotas, connections and the circuit breaker."""
