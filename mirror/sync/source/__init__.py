"""Upstreams as runs of mirror rules see them: read sparingly, and no longer asked after a request for a pause."""
