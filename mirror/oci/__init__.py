"""What content is: digests, names, media types, descriptors, manifests and the error tree. Pure values, no I/O."""
