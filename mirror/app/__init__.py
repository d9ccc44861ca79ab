"""Composition root: builds the objects of a process from the settings. No other package names concrete classes.

Each command has its own module here, so that a command imports only the code that it needs.
"""
