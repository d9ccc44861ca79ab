"""Clocks, builders and servers for the tests of several folders. Imports no test."""
