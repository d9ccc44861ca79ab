"""Records of admission: verdicts, decisions of people, and where plugins came from."""
