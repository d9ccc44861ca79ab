"""Several rules together: their order where they meet in one repository, and the warnings about it."""
