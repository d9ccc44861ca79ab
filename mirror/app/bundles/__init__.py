"""Use cases about bundles, with the objects that they need."""
