"""How it is said over HTTP: routes, ranges, challenges, error bodies, pagination. Pure, for server and client alike."""
