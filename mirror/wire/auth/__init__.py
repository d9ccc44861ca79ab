"""Syntax of authentication headers, token requests and scopes."""
