"""Configuration of a running server: what it needs, what may change, and how a reload goes."""
