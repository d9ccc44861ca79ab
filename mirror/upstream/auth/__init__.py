"""Credentials for an upstream and the authentication protocol."""
