"""Collection in the catalog: reviews, protectors, decisions, and holders of content."""
