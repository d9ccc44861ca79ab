"""Kills the real server, over and over, in the middle of work, and checks that it keeps its promises.

`python -m tests.torture --kills 200` (`make torture`). One module per part: `contents` (what is pushed), `connection`
(one HTTP client), `model` and `register` (what may be there, pure), `client` and `steps` (what a client knows, and
does), `reading` (what is served), `inspection` (what lies on the disk), `campaign` (the rounds: load, kill, start,
check), `report` (the figures). `syscalls` reads what strace saw, for the same promises.
"""
