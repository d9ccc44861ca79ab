"""Decisions about plugins: policy rules, privileges, fingerprints, upgrades, and vulnerabilities of engines."""
