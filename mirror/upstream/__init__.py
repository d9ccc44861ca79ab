"""A registry over HTTP to another server. Whatever the server sends is bounded and checked."""
