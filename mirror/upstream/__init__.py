"""A registry over HTTP to another server. It is never believed: what it sends is bounded and checked."""
