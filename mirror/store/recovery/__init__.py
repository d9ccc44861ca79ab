"""Recovery of a lost catalog from the blobs and the last snapshot of names."""
