"""Upkeep of storage: collection, budgets, quotas, scrub and healing, backup. Independent of the kind of store."""
