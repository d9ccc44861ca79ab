"""HTTP client for upstreams: sessions, connections and protections."""
