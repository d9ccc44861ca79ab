"""Root filesystem of a plugin: reading tars and their entries, laying layers over each other, reading programs."""
