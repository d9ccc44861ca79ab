"""Findings about plugins: tables of the kinds of findings, and the checks that report them."""
