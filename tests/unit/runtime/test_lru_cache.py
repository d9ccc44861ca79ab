from mirror.runtime.lru_cache import LruCache


def test_the_least_recently_used_goes_first() -> None:
    recent: LruCache[str, int] = LruCache(30)
    for number, name in enumerate("abc"):
        recent.put(name, number, 10)
    recent.get("a")

    recent.put("d", 3, 10)

    assert [recent.get(name) for name in "abcd"] == [0, None, 2, 3]


def test_a_replaced_value_frees_its_bytes() -> None:
    recent: LruCache[str, int] = LruCache(30)
    for number in range(10):
        recent.put("a", number, 20)
    recent.put("b", 1, 10)

    assert (recent.get("a"), recent.get("b"), len(recent)) == (9, 1, 2)


def test_what_never_fits_is_not_held() -> None:
    recent: LruCache[str, int] = LruCache(30)
    recent.put("large", 1, 31)

    assert recent.get("large") is None
    recent.put("small", 2, 30)
    assert recent.get("small") == 2
