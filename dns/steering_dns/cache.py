"""Answers of upstreams, kept as long as their TTL and the room allow.

Pure: ``now`` comes in.  Bounded by entries and by bytes; the entry unused for longest goes first.  The key holds
everything that an answer depends on: the upstream group, DO and CD, the name, type and class.
"""

from collections import OrderedDict

from steering_dns.reply import Sections

_REFRESH_AFTER = 0.9  # of its TTL, as unbound does
_REFRESHED_FROM_S = 10  # shorter TTLs are meant to be short
ENTRY_OVERHEAD = 500  # measured: objects, key and dictionary slot beside the body


class Entry:
    """One cached answer.  Its TTLs count down; the patched body is made at most once a second.

    until: how long the body that was last asked for is true.  refresh_at: who asks from then on makes it popular.
    """

    __slots__ = ("_patched", "_patched_at", "expires", "refresh_at", "sections", "stored", "until")

    def __init__(self, sections: Sections, now: float) -> None:
        self.sections = sections
        self.stored = now
        self.expires = now + sections.ttl_s
        self._patched = sections.body
        self._patched_at = 0
        self.until = now + 1
        ttl_s = sections.ttl_s
        self.refresh_at = now + ttl_s * _REFRESH_AFTER if ttl_s >= _REFRESHED_FROM_S else float("inf")

    def body(self, now: float) -> bytes:
        """The sections with their TTLs as of ``now``."""
        age_s = int(now - self.stored)
        if age_s == self._patched_at:
            return self._patched
        body = bytearray(self.sections.body)
        for at in self.sections.ttl_at:
            ttl_s = int.from_bytes(body[at : at + 4], "big") - age_s
            body[at : at + 4] = max(ttl_s, 0).to_bytes(4, "big")
        self._patched, self._patched_at, self.until = bytes(body), age_s, self.stored + age_s + 1
        return self._patched

    def stale_body(self, ttl_s: int) -> bytes:
        """The sections with every TTL at ``ttl_s`` (RFC 8767 4)."""
        body = bytearray(self.sections.body)
        for at in self.sections.ttl_at:
            body[at : at + 4] = ttl_s.to_bytes(4, "big")
        return bytes(body)


class Cache:
    """``stale_s``: how long an expired answer is kept for the case that no upstream answers."""

    def __init__(self, *, max_entries: int = 100_000, max_bytes: int = 64 << 20, stale_s: float = 3600) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.stale_s = stale_s
        self.size = 0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now: float) -> Entry | None:
        """The answer if it is still fresh.  An entry from the future (the clock was set back) is not."""
        entry = self._entries.get(key)
        if entry is None or not entry.stored <= now < entry.expires:
            return None
        self._entries.move_to_end(key)
        return entry

    def get_stale(self, key: bytes, now: float) -> Entry | None:
        """The answer, be it expired, for want of a better one."""
        entry = self._entries.get(key)
        return entry if entry is not None and now < entry.expires + self.stale_s else None

    def put(self, key: bytes, sections: Sections, now: float) -> Entry:
        """Keep an answer, if it may be kept at all."""
        entry = Entry(sections, now)
        if sections.ttl_s > 0 and _size(key, entry) <= self.max_bytes:
            self._drop(key)
            self._entries[key] = entry
            self.size += _size(key, entry)
            while len(self._entries) > self.max_entries or self.size > self.max_bytes:
                self._drop(next(iter(self._entries)))
        return entry

    def clear(self) -> None:
        self._entries.clear()
        self.size = 0

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= _size(key, entry)


def _size(key: bytes, entry: Entry) -> int:
    return ENTRY_OVERHEAD + len(key) + 2 * len(entry.sections.body)
