"""Filters that take and give out only plugins that the policy and people let in."""
