"""Copies of verified content from one registry to another: tag selection, copy plans and the copies themselves."""
