"""Work on one copied tag: its referrers, and the privileges that it has gained or lost."""
