"""Pushes in the catalog: who pushed content, and whether it fits in quotas."""
