"""HTTP syntax shared by server and client: routes, ranges, challenges, error bodies, pagination. Performs no I/O."""
