"""Limits on what is asked of an upstream: rates, quotas, connections, the circuit breaker."""
