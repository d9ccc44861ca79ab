"""Access control: users, their logins, access rules, and the bearer tokens that clients present."""
