"""Tags: their selection, and the decision about each."""
