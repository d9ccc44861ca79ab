"""Clocks, builders and servers that several folders of tests use. Imports no test."""
