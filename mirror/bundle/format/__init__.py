"""The format of a bundle: statement, envelope, and the place of each byte."""
