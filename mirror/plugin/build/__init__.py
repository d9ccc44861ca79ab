"""Assembling plugins: editing configurations, making manifests, and deriving copies with other defaults."""
