"""Mirror rules: content copied here ahead of need."""
