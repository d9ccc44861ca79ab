"""Tests of the documentation: its site, its generated page, and the commands in it."""
