"""HTTP to an upstream: sessions, connections, guards."""
