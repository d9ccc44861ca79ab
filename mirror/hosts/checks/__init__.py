"""Checks of a Docker host before a plugin is installed on it."""
