"""Records of admission in the catalog: approvals, decisions, verdicts, held plugins."""
