"""Decisions about plugins: rules, privileges, fingerprints, vulnerable engines."""
