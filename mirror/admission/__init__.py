"""Use cases of admission: approving and rejecting plugins, and telling how one stands."""
