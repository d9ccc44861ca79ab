"""The composition root: settings become object graphs here, and nothing else knows concrete classes.

A module for each thing that a command does, so that it imports what that takes, and no more.
"""
