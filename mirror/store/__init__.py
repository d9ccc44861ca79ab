"""The registry on our own disk: content-addressed files for bytes, a SQL catalog for what is where."""
