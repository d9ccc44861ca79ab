"""Mirror rules, which copy upstream content to this registry before clients ask for it."""
