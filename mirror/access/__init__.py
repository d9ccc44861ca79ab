"""Users: who they are, what they may do, and the tokens that say so."""
