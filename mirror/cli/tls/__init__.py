"""Commands ``plugin-mirror tls``."""
