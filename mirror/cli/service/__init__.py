"""Commands that run and administer the server."""
