"""The catalog: which repository holds which blobs, manifests and tags, in SQL."""
