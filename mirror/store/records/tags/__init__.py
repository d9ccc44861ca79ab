"""Records of tags: pins, and tags that clients have pushed."""
