"""A registry on another server, accessed over HTTP. All data from the server is bounded and verified."""
