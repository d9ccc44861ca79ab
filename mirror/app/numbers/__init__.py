"""Numbers about storage and its traffic."""
