"""Kill the real server repeatedly during work, and check that acknowledged changes survive.

Run it with `python -m tests.torture --kills 200` (`make torture`).

- `contents` generates the content to push. `connection` is one HTTP client.
- `model` and `register` track the possible states of repositories and of a shared tag. Both are pure.
- `client` has the knowledge of one client, and `steps` its requests.
- `reading` reads everything that the server serves. `inspection` checks the files in the data folder.
- `pulled` is the content of an upstream, `evicting` evicts it, and `upkeep` runs this and other upkeep of the store.
- `campaign` runs the rounds: load, some beside upkeep, kill, start, check. `report` has the figures.
- `syscalls` checks the same promises in a trace of strace.
"""
