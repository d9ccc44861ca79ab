"""Kill the server many times. The exit code is 0 if the server kept its promises and 1 otherwise."""

import argparse
import json
import random
import sys

from tests.harness.mirror import Mirror
from tests.torture import pulled
from tests.torture.campaign import Campaign
from tests.torture.model import BrokenPromise


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="number of kills (default: %(default)s)")
    parser.add_argument(
        "--clients", type=int, default=6, help="number of clients at the same time (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=2, help="worker processes of the server (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="seed of all choices (default: random)"
    )
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.clients} clients, {given.workers} workers", flush=True)
    with Mirror() as upstream, Mirror(workers=given.workers, sections=pulled.sections(upstream)) as mirror:
        pulled.publish(upstream)
        campaign = Campaign(mirror, clients=given.clients, seed=given.seed, pulls=True)
        try:
            campaign.run(given.kills, _progress)
        except BrokenPromise as broken:
            print(f"\nBROKEN PROMISE (seed {given.seed}): {broken}", file=sys.stderr)
            for line in mirror.log:
                if line.get("level") in {"error", "critical"}:
                    print(json.dumps(line, indent=1).replace("\\n", "\n"), file=sys.stderr)
            return 1
        print(f"\n{campaign.report.text()}\nall promises were kept")
    return 0


def _progress(text: str) -> None:
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True)
    else:
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
