"""The registry in a data folder: content-addressed files for the bytes, a SQL catalog for the rest."""
