"""Filters that accept and serve only plugins admitted by the policy and by people."""
