"""Authentication headers, tokens and scopes."""
