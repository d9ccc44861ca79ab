"""Pull-through: fetches requested content that the store lacks from an upstream, stores it and serves it."""
