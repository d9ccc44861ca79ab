"""Pull-through: what is asked for and not here is fetched, kept, and served from here from then on."""
