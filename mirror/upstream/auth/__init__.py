"""Credentials for an upstream, and the conversation that uses them."""
