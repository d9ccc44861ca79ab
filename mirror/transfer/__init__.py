"""Copying verified content from one registry to another: what to take, what must move, and the moving."""
