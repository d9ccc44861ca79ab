"""The registry interface, and tools shared by its implementations: verified streams, a delegate, an in-memory model."""
