"""Bearer tokens of a token issuer outside of this server: its keys, and the callers whom its tokens name."""
