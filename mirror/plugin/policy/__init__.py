"""Decisions about plugins: policy rules, privileges, fingerprints, and vulnerabilities of engines."""
