"""Findings about plugins: their kinds in tables, and the checks that make them."""
