"""Import of a bundle into a registry: plan, blobs, manifests, and tags at the end."""
