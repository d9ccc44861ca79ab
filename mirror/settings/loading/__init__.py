"""Read the configuration: the file, the variables, and the words about mistakes in them."""
