"""The choice of what is evicted, in small cases and in a month of pulls."""

import random
from collections import OrderedDict
from datetime import timedelta
from itertools import accumulate

import pytest

from mirror.lifecycle.eviction import (
    BUSY_FOR,
    LOW_WATER,
    KeepLimits,
    choose_room,
    choose_surplus,
    measured,
)
from mirror.records.lifecycle.pulled_content import PulledArtifact, PulledContent
from tests.support.clocks import START

DAY = timedelta(days=1)


def artifact(tag: str, days: float, *contents: int, is_confirmed: bool = True, is_held: bool = False) -> PulledArtifact:
    """Return an artifact that was last pulled some days ago."""
    return PulledArtifact("a/b", (tag,), (f"sha256:{tag}",), START - days * DAY, contents, is_confirmed, is_held)


def chosen(content: PulledContent, size_bytes: int | None = None, unused_for: timedelta | None = None) -> str:
    eviction = choose_surplus(content, KeepLimits(size_bytes, unused_for), START)
    return "".join(one.tags[0] for one in eviction.artifacts)


def made_room(content: PulledContent, wanted_bytes: int) -> str:
    return "".join(one.tags[0] for one in choose_room(content, wanted_bytes, START).artifacts)


THREE = PulledContent([artifact("a", 3, 0), artifact("b", 9, 1), artifact("c", 6, 2)], [100, 100, 100])


@pytest.mark.parametrize(
    ("size_bytes", "unused_for", "evicted"),
    [
        (None, None, ""),
        (300, None, ""),
        (299, None, "b"),
        (200, None, "bc"),
        (0, None, "bca"),
        (None, 7 * DAY, "b"),
        (None, DAY, "abc"),
        (150, 7 * DAY, "bc"),
    ],
)
def test_the_least_recently_pulled_go_first(size_bytes: int | None, unused_for: timedelta | None, evicted: str) -> None:
    assert chosen(THREE, size_bytes, unused_for) == evicted


def test_shared_content_is_counted_once_and_freed_with_the_last_artifact_that_needs_it() -> None:
    content = PulledContent([artifact("a", 3, 0, 1), artifact("b", 2, 0, 2), artifact("c", 1, 3)], [1000, 1, 1, 50])
    assert choose_surplus(content, KeepLimits(1052), START).used_bytes == 1052
    assert chosen(content, 1052) == ""
    eviction = choose_surplus(content, KeepLimits(100), START)
    assert ("".join(one.tags[0] for one in eviction.artifacts), eviction.left_bytes) == ("ab", 50)
    assert measured(content, content.artifacts[:1]).freed_bytes == 1


def test_what_frees_nothing_is_not_evicted_for_room() -> None:
    content = PulledContent([artifact("a", 9, 0), artifact("b", 1, 1)], [0, 100])
    assert chosen(content, 10) == "b"
    assert chosen(content, 10, 5 * DAY) == "ab"
    assert made_room(content, 10) == "b"


def test_what_is_being_pulled_stays() -> None:
    busy = BUSY_FOR / DAY / 2
    content = PulledContent([artifact("a", busy, 0), artifact("b", 2, 1, is_held=True), artifact("c", 1, 2)], [9, 9, 9])
    assert chosen(content, 0, DAY) == "c"


def test_what_the_upstream_did_not_confirm_goes_last_and_never_for_its_age_or_on_a_full_disk() -> None:
    content = PulledContent([artifact("a", 90, 0, is_confirmed=False), artifact("b", 5, 1)], [100, 100])
    assert chosen(content, None, 30 * DAY) == ""
    assert chosen(content, 150) == "b"
    assert chosen(content, 50) == "ba"
    assert made_room(content, 150) == "b"


@pytest.mark.parametrize(("wanted_bytes", "evicted"), [(1, "b"), (100, "b"), (101, "bc"), (900, "bca")])
def test_room_is_made_by_no_more_than_needed(wanted_bytes: int, evicted: str) -> None:
    assert made_room(THREE, wanted_bytes) == evicted


class Site:
    """A mirror whose hosts pull tags by Zipf's law. Versions of an image share its base layers."""

    TAGS, VERSIONS, PULLS_A_DAY, DAYS = 10_000, 10, 3_000, 30

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.sizes: list[int] = []
        self.needs: list[tuple[int, ...]] = []
        for _ in range(self.TAGS // self.VERSIONS):
            base = [self._content(chance.randint(20, 200)) for _ in range(4)]
            for _ in range(self.VERSIONS):
                own = [self._content(chance.randint(1, 80)) for _ in range(3)]
                self.needs.append((*base, *own))
        popular = list(range(self.TAGS))
        chance.shuffle(popular)
        weights = list(accumulate(1 / rank for rank in range(1, self.TAGS + 1)))
        number = self.PULLS_A_DAY * self.DAYS
        self.pulls = chance.choices(popular, cum_weights=weights, k=number)
        self.budget = sum(self.sizes) // 4

    def _content(self, size_bytes: int) -> int:
        self.sizes.append(size_bytes)
        return len(self.sizes) - 1


class Lru:
    """Evicts the least recently pulled tag whenever one is too many: as good as an order of pulls can be."""

    def __init__(self, site: Site) -> None:
        self.site, self.held, self.used_bytes = site, OrderedDict[int, None](), 0
        self.needed_by = [0] * len(site.sizes)

    def pull(self, tag: int) -> bool:
        hit = tag in self.held
        self.held[tag] = None
        self.held.move_to_end(tag)
        if not hit:
            self._count(tag, 1)
        while self.used_bytes > self.site.budget:
            self._count(self.held.popitem(last=False)[0], -1)
        return hit

    def _count(self, tag: int, change: int) -> None:
        for number in self.site.needs[tag]:
            before = self.needed_by[number]
            self.needed_by[number] += change
            self.used_bytes += self.site.sizes[number] * (bool(before + change) - bool(before))


class Budget:
    """Evicts with a round every four hours, by the choice under test."""

    def __init__(self, site: Site) -> None:
        self.site, self.held, self.evicted, self.again, self.peaks = site, dict[int, float](), 0, 0, list[float]()
        self.last_evicted: dict[int, float] = {}

    def pull(self, tag: int, day: float) -> bool:
        hit = tag in self.held
        self.held[tag] = day
        self.again += day - self.last_evicted.get(tag, -99) < 1 / 24
        return hit

    def round(self, day: float) -> None:
        artifacts = [
            PulledArtifact(f"{tag}", (f"{tag}",), (), START + at * DAY, self.site.needs[tag])
            for tag, at in self.held.items()
        ]
        eviction = choose_surplus(
            PulledContent(artifacts, self.site.sizes), KeepLimits(self.site.budget), START + day * DAY
        )
        for one in eviction.artifacts:
            del self.held[int(one.repository)]
            self.last_evicted[int(one.repository)] = day
        self.evicted += len(eviction.artifacts)
        self.peaks.append(eviction.left_bytes / self.site.budget)


def test_a_month_of_pulls_hits_nearly_as_often_as_lru_without_churn() -> None:
    site = Site(seed=15)
    lru, budget = Lru(site), Budget(site)
    hits = [0, 0]
    for number, tag in enumerate(site.pulls):
        day = number / site.PULLS_A_DAY
        hits[0] += lru.pull(tag)
        hits[1] += budget.pull(tag, day)
        if number % (site.PULLS_A_DAY // 6) == 0:
            budget.round(day)
    misses = len(site.pulls) - hits[1]
    assert max(budget.peaks) <= 1.0  # never beyond the budget after a round
    assert min(budget.peaks[6 * 7 :]) >= LOW_WATER - 0.05  # and never much less kept than may be
    assert hits[1] / hits[0] > 0.98, hits
    assert budget.again < misses / 20  # few are fetched again within an hour after their eviction
