"""A plugin's files: tars and entries as they are read, the tree that layers amount to, and the programs in it."""
