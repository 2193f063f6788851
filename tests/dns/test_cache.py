import math

from steering_dns.cache import ENTRY_OVERHEAD, Cache
from steering_dns.reply import Sections


def sections(ttl_s: int = 100, body: bytes = b"\0\0\0\x64") -> Sections:
    return Sections(rcode=0, body=body, ttl_at=(0,), answers=1, authority=0, ttl_s=ttl_s)


def test_entries_end_by_their_ttl_and_when_the_clock_is_set_back() -> None:
    cache = Cache(stale_s=50)
    cache.put(b"k", sections(), 1000)
    assert [cache.get(b"k", now) is not None for now in (999, 1000, 1099, 1100)] == [False, True, True, False]
    assert [cache.get_stale(b"k", now) is not None for now in (1149, 1150)] == [True, False]
    cache.put(b"zero", sections(0), 1000)
    assert cache.get(b"zero", 1000) is None


def test_ttls_count_down() -> None:
    entry = Cache().put(b"k", sections(), 1000)
    assert [entry.body(1000 + age)[3] for age in (0, 0.9, 1, 99)] == [100, 100, 99, 1]
    assert entry.stale_body(30) == b"\0\0\0\x1e"


def test_a_body_says_how_long_it_is_true() -> None:
    entry = Cache().put(b"k", sections(), 1000)
    seen = []
    for age in (0, 0.9, 1, 42.5):
        entry.body(1000 + age)
        seen.append(entry.until)
    assert seen == [1001, 1001, 1002, 1043]


def test_long_ttls_are_renewed_in_their_last_tenth() -> None:
    assert [Cache().put(b"k", sections(ttl_s), 1000).refresh_at for ttl_s in (9, 10, 300)] == [math.inf, 1009, 1270]


def test_the_unused_goes_first() -> None:
    cache = Cache(max_entries=2)
    for key in (b"a", b"b"):
        cache.put(key, sections(), 0)
    assert cache.get(b"a", 1)
    cache.put(b"c", sections(), 1)
    assert [key for key in (b"a", b"b", b"c") if cache.get(key, 1)] == [b"a", b"c"]


def test_bytes_are_bounded() -> None:
    one = ENTRY_OVERHEAD + 1 + 8
    for room, kept in ((2 * one - 1, 1), (2 * one, 2), (2 * one + 1, 2)):
        cache = Cache(max_bytes=room)
        for key in (b"a", b"b", b"b"):
            cache.put(key, sections(), 0)
        assert (len(cache), cache.size) == (kept, kept * one)
    cache.clear()
    assert (len(cache), cache.size) == (0, 0)
