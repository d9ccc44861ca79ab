"""Trust in bundles: keys, sets of keys, and the decision about signatures and serials."""
